"""The endpoints."""

from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from mxcheck_service.checker import Checker
from mxcheck_service.core.candidates import TooManyAddresses
from mxcheck_service.ports import CacheBackend, CacheError
from mxcheck_service.web import schema
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.middleware import STATE, Phase
from mxcheck_service.web.schema import FieldProblem

CHECKER = web.AppKey("checker", Checker)
CACHE = web.AppKey("cache", CacheBackend)

_TRUE = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": True}
_LISTS = ("mime_from", "reply_to")


def routes() -> list[web.AbstractRouteDef]:
    return [
        web.post("/v1/check", post_check),
        web.get("/v1/check", get_check),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
    ]


async def post_check(request: web.Request) -> web.Response:
    """Check the message in the JSON body."""
    if request.content_type != "application/json":
        raise ApiError(415, f"the body must be application/json, not {request.content_type}")
    explain = _explain(dict(request.query))
    body = await request.read()
    return await _check(request, lambda: schema.CheckRequest.model_validate_json(body), explain=explain)


async def get_check(request: web.Request) -> web.Response:
    """Check the message in the query parameters; header fields may be repeated."""
    fields: dict[str, Any] = {name: request.query.getall(name) for name in request.query}
    explain = _explain({name: values[-1] for name, values in fields.items() if name == "explain"})
    fields.pop("explain", None)
    for name in fields.keys() - _LISTS:
        if len(fields[name]) > 1:
            raise _wrong({name: "is given more than once"})
        fields[name] = fields[name][0]
    return await _check(request, lambda: schema.CheckRequest.model_validate(fields, strict=False), explain=explain)


async def healthz(request: web.Request) -> web.Response:
    """Alive: depends on nothing outside the process."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Ready to check; 503 while starting and draining. A lost cache degrades the service, it does not unready it."""
    phase = request.app[STATE].phase
    components = {"cache": await _cache_state(request.app[CACHE])}
    ready = phase is Phase.READY
    return web.json_response(
        {"status": phase.value, "components": components},
        status=200 if ready else 503,
        headers={} if ready else {"Retry-After": "1"},
    )


async def _check(request: web.Request, parse: Any, *, explain: bool) -> web.Response:
    # One snapshot at entry: a reload puts another checker in place, and this request keeps its own.
    checker = request.app[CHECKER]
    try:
        message = parse().message()
        report = await checker.check(message)
    except ValidationError as error:
        raise _invalid(error) from None
    except TooManyAddresses as error:
        raise _wrong({error.field: str(error)}) from None
    return web.Response(body=orjson.dumps(schema.reply(report, explain=explain)), content_type="application/json")


def _explain(query: dict[str, str]) -> bool:
    for name, value in query.items():
        if name != "explain":
            raise _wrong({name: "unknown query parameter"})
        if value.lower() not in _TRUE:
            raise _wrong({name: "must be 1 or 0"})
        return _TRUE[value.lower()]
    return False


def _invalid(error: ValidationError) -> ApiError:
    faults = error.errors(include_url=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return ApiError(400, faults[0]["msg"])
    problems: dict[str, str] = {}
    for fault in faults:
        # A field of several forms (string or list) has a fault for each; the first one names the field well enough.
        field = str(fault["loc"][0]) if fault["loc"] else "body"
        unknown = fault["type"] == "extra_forbidden"
        problems.setdefault(field, "unknown field" if unknown else fault["msg"].removeprefix("Value error, "))
    return _wrong(problems)


def _wrong(problems: dict[str, str]) -> ApiError:
    errors: list[FieldProblem] = [{"field": field, "message": message} for field, message in problems.items()]
    return ApiError(422, "the request is not valid", errors)


async def _cache_state(cache: CacheBackend) -> dict[str, str]:
    try:
        await cache.ping()
    except CacheError as error:
        return {"status": "down", "detail": str(error)}
    return {"status": "ok"}
