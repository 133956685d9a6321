"""The endpoints."""

import time

from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from mxcheck_service.core.candidates import TooManyAddresses
from mxcheck_service.egress import Egress
from mxcheck_service.metrics import CONTENT_TYPE
from mxcheck_service.ports import CacheBackend, CacheError
from mxcheck_service.web import schema
from mxcheck_service.web.arrivals import refuse_coded
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.gate import Phase, State
from mxcheck_service.web.schema import CheckRequest, FieldProblem

_PARSER = TypeAdapter(CheckRequest).validator
_SWITCH = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}
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
        query = _query(request)
        explain = _take_explain(query)
        if query:
            raise _wrong(dict.fromkeys(query, "unknown query parameter"))
    # Nearly all have come whole with the head, and need none of the machinery for waiting.
    body = _arrived(request) if request.content.is_eof() else await state.arrivals.whole(request)
    try:
        asked = _PARSER.validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None
    return await _check(request, state, asked, explain=explain)


async def get_check(request: web.Request, state: State) -> web.Response:
    """Check the message in the query parameters; header fields may be repeated."""
    query = _query(request)
    explain = _take_explain(query)
    fields = {name: values if name in _LISTS else _only(name, values) for name, values in query.items()}
    try:
        asked = CheckRequest.model_validate(fields, strict=False)
    except ValidationError as error:
        raise _invalid(error) from None
    return await _check(request, state, asked, explain=explain)


async def healthz(request: web.Request, state: State) -> web.Response:
    """Alive: depends on nothing outside the process."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request, state: State) -> web.Response:
    """Ready to check; 503 while starting and draining. A lost cache or way out degrades it, it does not unready it."""
    phase = state.phase
    components = {"cache": await _cache_state(state.cache)}
    if state.egress and state.egress.watched:
        components["egress"] = _egress_state(state.egress)
    ready = phase is Phase.READY
    return web.json_response(
        {"status": phase.value, "components": components},
        status=200 if ready else 503,
        headers={} if ready else {"Retry-After": "1"},
    )


async def metrics(request: web.Request, state: State) -> web.Response:
    """What was counted, by all workers together, in Prometheus' text form."""
    return web.Response(body=state.metrics.text(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


async def _check(request: web.Request, state: State, asked: CheckRequest, *, explain: bool) -> web.Response:
    started = time.monotonic()
    try:
        report = await state.checker.check(asked.message(explain=explain), state.lag.at(started))
    except TooManyAddresses as error:
        raise _wrong({error.field: str(error)}) from None
    seconds = time.monotonic() - started
    state.request_log.checked(request, asked.client_ip, report, seconds)
    return web.Response(body=schema.encoded(report, seconds), content_type="application/json")


def _arrived(request: web.Request) -> bytes:
    body = request.content.read_nowait()
    if len(body) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, len(body))
    return body


def _query(request: web.Request) -> dict[str, list[str]]:
    return {name: request.query.getall(name) for name in request.query}


def _take_explain(query: dict[str, list[str]]) -> bool:
    value = _only("explain", query.pop("explain", ["0"])).lower()
    if value not in _SWITCH:
        raise _wrong({"explain": "must be 1 or 0"})
    return _SWITCH[value]


def _only(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise _wrong({name: "is given more than once"})
    return values[0]


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
    return _wrong(problems)


def _wrong(problems: dict[str, str]) -> ApiError:
    errors: list[FieldProblem] = [{"field": field, "message": message} for field, message in problems.items()]
    return ApiError(422, "the request is not valid", errors)


def _egress_state(egress: Egress) -> dict[str, str]:
    faults = egress.faults()
    return {"status": "down", "detail": "; ".join(faults)} if faults else {"status": "ok"}


async def _cache_state(cache: CacheBackend) -> dict[str, str]:
    try:
        await cache.ping()
    except CacheError as error:
        return {"status": "down", "detail": str(error)}
    return {"status": "ok"}
