"""Query parameters."""

from typing import Final

from aiohttp import web

from mxcheck_service.web.errors import wrong_fields

Query = dict[str, list[str]]

_SWITCH: Final = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}


def parameters(request: web.Request) -> Query:
    """Return the values of every parameter, for the caller to take out what it knows."""
    return {name: request.query.getall(name) for name in request.query}


def take_switch(query: Query, name: str) -> bool:
    """Take a switch out, which is off when it is not there; raises ApiError."""
    value = only(name, query.pop(name, ["0"])).lower()
    if value not in _SWITCH:
        raise wrong_fields({name: "must be 1 or 0"})
    return _SWITCH[value]


def only(name: str, values: list[str]) -> str:
    """Return the one value of a parameter; raises ApiError when there are more."""
    if len(values) > 1:
        raise wrong_fields({name: "is given more than once"})
    return values[0]


def refuse_others(query: Query) -> None:
    """Raise ApiError for the parameters that nobody has taken out."""
    if query:
        raise wrong_fields(dict.fromkeys(query, "unknown query parameter"))
