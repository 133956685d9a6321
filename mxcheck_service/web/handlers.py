"""The endpoints."""

import time

from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from mxcheck_service.core.candidates import TooManyAddresses
from mxcheck_service.metrics import CONTENT_TYPE
from mxcheck_service.web import schema
from mxcheck_service.web.arrivals import refuse_coded
from mxcheck_service.web.errors import ApiError, wrong_fields
from mxcheck_service.web.gate import State
from mxcheck_service.web.query import only, parameters, refuse_others, take_switch
from mxcheck_service.web.schema import CheckRequest

_PARSER = TypeAdapter(CheckRequest).validator
_LISTS = ("mime_from", "reply_to")
_MOST_FAULTS = 100


async def post_check(request: web.Request, state: State) -> web.Response:
    """Check the message in the JSON body."""
    # aiohttp takes the header apart anew for each request, and nearly all say just this.
    if request.headers.get(hdrs.CONTENT_TYPE) != "application/json" and request.content_type != "application/json":
        raise ApiError(415, f"the body must be application/json, not {request.content_type}")
    refuse_coded(request)
    explain = False
    if "?" in request.raw_path:
        query = parameters(request)
        explain = take_switch(query, "explain")
        refuse_others(query)
    # Nearly all have come whole with the head, and need none of the machinery for waiting.
    body = _arrived(request) if request.content.is_eof() else await state.arrivals.whole(request)
    try:
        asked = _PARSER.validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None
    return await _check(request, state, asked, explain=explain)


async def get_check(request: web.Request, state: State) -> web.Response:
    """Check the message in the query parameters; header fields may be repeated."""
    query = parameters(request)
    explain = take_switch(query, "explain")
    fields = {name: values if name in _LISTS else only(name, values) for name, values in query.items()}
    try:
        asked = CheckRequest.model_validate(fields, strict=False)
    except ValidationError as error:
        raise _invalid(error) from None
    return await _check(request, state, asked, explain=explain)


async def metrics(request: web.Request, state: State) -> web.Response:
    """What was counted, by all workers together, in Prometheus' text form."""
    return web.Response(body=state.metrics.text(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


async def _check(request: web.Request, state: State, asked: CheckRequest, *, explain: bool) -> web.Response:
    started = time.monotonic()
    try:
        report = await state.checker.check(asked.message(explain=explain), state.lag.at(started))
    except TooManyAddresses as error:
        raise wrong_fields({error.field: str(error)}) from None
    seconds = time.monotonic() - started
    state.checked(request, asked.client_ip, report, seconds)
    return web.Response(body=schema.encoded(report, seconds), content_type="application/json")


def _arrived(request: web.Request) -> bytes:
    body = request.content.read_nowait()
    if len(body) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, len(body))
    return body


def _invalid(error: ValidationError) -> ApiError:
    if (count := error.error_count()) > _MOST_FAULTS:
        return ApiError(422, f"the request is not valid: {count} faults, too many to name")
    faults = error.errors(include_url=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return ApiError(400, faults[0]["msg"])
    problems: dict[str, str] = {}
    for fault in faults:
        # A field of several forms (string or list) has a fault for each; the first one names the field well enough.
        field = str(fault["loc"][0]) if fault["loc"] else "body"
        unknown = fault["type"] == "extra_forbidden"
        problems.setdefault(field, "unknown field" if unknown else fault["msg"].removeprefix("Value error, "))
    return wrong_fields(problems)
