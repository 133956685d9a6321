"""GET /openapi.json: the service's interface as an OpenAPI 3.1 document, made from the models that it speaks in.

`OPERATIONS` has one entry for each route; a test holds it to `web.routes`.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from mxcheck_service import __version__
from mxcheck_service.cache.surgery import LAYERS
from mxcheck_service.web import conditional, examples, schema
from mxcheck_service.web.gate import State
from mxcheck_service.web.stats_schema import Stats

Document = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
_INPUT: Final = (schema.CheckRequest,)
_OUTPUT: Final = (
    schema.CheckReply, schema.RspamdReply, schema.CacheEntry, schema.Health, schema.Readiness, schema.Problem,
    schema.Reloaded, schema.ReloadProblem, Stats,
)  # fmt: skip

_TOKEN: Final[list[Document]] = [{}, {"token": []}]
"""A token is asked for when the settings name one."""
_ADMIN_TOKEN: Final[list[Document]] = [{}, {"admin_token": []}]
_HEADERS: Final[Mapping[int, str]] = {401: "WWW-Authenticate", 503: "Retry-After"}
_PROBLEMS: Final = {
    400: "The body cannot be read, or is not JSON.",
    401: "A bearer token is needed.",
    403: "A browser asks for a page of another site, and no token is set.",
    404: "There is no such thing.",
    408: "The body has not come in time (server.request_seconds).",
    413: "The body is too large (server.max_body_bytes).",
    415: "The body is not application/json, or comes in a Content-Encoding.",
    422: "Fields of the request are wrong; `errors` names each.",
    503: "Too many requests are under way, the service is starting or draining, or the cache cannot be asked.",
}
_BY_POST: Final = (400, 401, 408, 413, 415, 422, 503)

_LABEL: Final = "[A-Za-z0-9_-]{1,63}"
_NAME: Final = {
    "type": "string", "maxLength": 253, "pattern": rf"^({_LABEL}\.)*{_LABEL}\.?$", "examples": [examples.DOMAIN],
}  # fmt: skip
_KEYS: Final[Mapping[str, tuple[str, Document]]] = {
    "d": ("a domain", {"description": "The domain.", "schema": _NAME, "example": examples.DOMAIN}),
    "m": ("an MX host", {"description": "The host.", "schema": _NAME, "example": examples.HOST}),
    "i": ("an address", {"description": "The address.", "schema": schema.IP_SCHEMA, "example": examples.IP}),
}


def _json(model: type, example: object = None) -> Document:
    content: Document = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    return {"application/json": content if example is None else content | {"example": example}}


def _text(example: str) -> Document:
    return {"text/plain": {"schema": {"type": "string"}, "example": example}}


def _header(name: str, meaning: str, **example: str) -> Document:
    return {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}} | example


_EXPLAIN: Final[Document] = {
    "name": "explain",
    "in": "query",
    "description": "1: add `trace` to each domain, the steps of its lookup.",
    "schema": {"type": "string", "enum": ["1", "true", "yes", "", "0", "false", "no"], "default": "0"},
}


_SETTINGS: Final[Document] = _EXPLAIN | {
    "name": "settings",
    "description": "1: add the settings and maps in use.",
}
_IF_NONE_MATCH: Final = _header("If-None-Match", "The ETag of the document at hand.", example='"0"')
_UNCHANGED: Final[Document] = {"description": "The document is the one that `If-None-Match` names."}


def _kind(content_type: str) -> Document:
    return {content_type: {"schema": {"type": "string"}}}


def _json_of_any() -> Document:
    return {"application/json": {"schema": {"type": "object"}}}


def _query_parameters() -> list[Document]:
    """Return the fields of a check as parameters; none of them can be null there."""
    fields = _schemas()["CheckRequest"]["properties"]
    parameters = []
    for name, field in fields.items():
        forms = [form for form in field.get("anyOf", [{"type": field.get("type")}]) if form.get("type") != "null"]
        # A parameter that may be repeated is a list, of one value too.
        form = next((form for form in forms if form["type"] == "array"), forms[0])
        parameters.append({"name": name, "in": "query", "description": field["description"], "schema": form})
    return [*parameters, _EXPLAIN]


class Operation(NamedTuple):
    """What a method does at a path. `replies`: what comes with each status, but for problem documents (`problems`)."""

    summary: str
    replies: Mapping[int, Document]
    problems: tuple[int, ...] = ()
    description: str = ""
    parameters: tuple[Document, ...] = ()
    body: Document | None = None
    security: list[Document] | None = None


def _cache_operations(layer: str) -> Mapping[tuple[str, str], Operation]:
    what, key = _KEYS[layer]
    path, parameters = f"/v1/cache/{layer}/{{key}}", ({"name": "key", "in": "path", "required": True} | key,)
    entry = {"content": _json(schema.CacheEntry, examples.CACHE_ENTRY if layer == "d" else None)}
    lock = " A lock (`l`) too: the next check then probes, though the probe that holds it may still be under way."
    return {
        ("GET", path): Operation(
            f"Look at the cache entry of {what}",
            {200: {"description": "The entry."} | entry},
            (401, 403, 404, 422, 503),
            parameters=parameters,
            security=_ADMIN_TOKEN,
        ),
        ("DELETE", path): Operation(
            f"Purge the cache entry of {what}",
            {204: {"description": "The entry is gone, wherever it was kept, or was not there."}},
            (401, 403, 422, 503),
            "The next check looks it up anew." + (lock if layer == "i" else ""),
            parameters=parameters,
            security=_ADMIN_TOKEN,
        ),
    }


def operations() -> Mapping[tuple[str, str], Operation]:
    """Return what every method does, by (method, path)."""
    checked = {200: {"description": "The answer, whatever the verdict.", "content": _json(schema.CheckReply)}}
    return {
        ("POST", "/v1/check"): Operation(
            "Check a message",
            {
                200: checked[200] | {"content": _json(schema.CheckReply, examples.REPLY)},
            },
            _BY_POST,
            "Does the domain of the sender really receive mail?",
            parameters=(_EXPLAIN,),
            body={"required": True, "content": _json(schema.CheckRequest, examples.REQUEST)},
            security=_TOKEN,
        ),
        ("GET", "/v1/check"): Operation(
            "Check a message, for a person with curl",
            checked,
            (401, 422, 503),
            parameters=tuple(_query_parameters()),
            security=_TOKEN,
        ),
        ("POST", "/-/reload"): Operation(
            "Reload settings and maps",
            {
                200: {"description": "All is well.", "content": _json(schema.Reloaded, examples.RELOADED)},
                500: {
                    "description": "Something is broken; it was not taken, and what was in use before stays in use.",
                    "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="ReloadProblem")}}},
                },
            },
            (401, 403, 503),
            "As SIGHUP does. Of several workers the one that was asked answers, and the others reload too.",
            security=_ADMIN_TOKEN,
        ),
        **{key: operation for layer in LAYERS for key, operation in _cache_operations(layer).items()},
        ("POST", "/checkv2"): Operation(
            "Check a message, for rspamd's clients",
            {200: checked[200] | {"content": _json(schema.RspamdReply, examples.RSPAMD_REPLY)}},
            _BY_POST,
            "rspamd's own protocol: the envelope in headers, the message as the body.",
            parameters=(
                _header("From", "The envelope sender.", example=examples.SENDER),
                _header("Helo", "The name given in HELO or EHLO.", example=examples.HOST),
                _header("IP", "The client's address.", example=examples.IP),
                _header("User", "The authenticated user, of whom nothing is checked."),
            ),
            body={"description": "The message, whatever its Content-Type.", "content": _text(examples.MESSAGE)},
            security=_TOKEN,
        ),
        ("GET", "/ping"): Operation(
            "Answer as rspamd does", {200: {"description": "The service is alive.", "content": _text("pong\r\n")}}
        ),
        ("GET", "/v1/stats"): Operation(
            "How has the service fared in the last hour, and how does it stand?",
            {200: {"description": "All workers together.", "content": _json(Stats)}},
            (401, 403, 422, 503),
            "What the console shows; as that, there is none of it with `server.console` off.",
            parameters=(_SETTINGS,),
            security=_TOKEN,
        ),
        ("GET", "/"): Operation(
            "The console, a page for the browser",
            {200: {"description": "The page.", "content": _kind("text/html")}, 304: _UNCHANGED},
            parameters=(_IF_NONE_MATCH,),
            description="With `server.console`; its data comes from the rest of this interface.",
        ),
        ("GET", "/console/{name}"): Operation(
            "A file of the console",
            {
                200: {
                    "description": "The file.",
                    "content": _kind("text/css") | _kind("text/javascript") | _kind("image/svg+xml") | _json_of_any(),
                },
                304: _UNCHANGED,
            },
            (404,),
            parameters=(
                {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "words.json"},
                _IF_NONE_MATCH,
            ),
        ),
        ("GET", "/healthz"): Operation(
            "Is the process alive?",
            {200: {"description": "It is.", "content": _json(schema.Health, examples.HEALTH)}},
            description="Depends on nothing outside the process.",
        ),
        ("GET", "/readyz"): Operation(
            "Are requests served?",
            {
                200: {"description": "They are.", "content": _json(schema.Readiness, examples.READINESS)},
                503: {"description": "The service is starting or draining.", "content": _json(schema.Readiness)},
            },
            description="A lost Redis or way out is told, and does not make the service unready.",
        ),
        ("GET", "/metrics"): Operation(
            "What was counted, for Prometheus",
            {200: {"description": "The exposition of all workers.", "content": _text(examples.METRICS)}},
        ),
        ("GET", "/openapi.json"): Operation(
            "This document",
            {
                200: {
                    "description": "The document; `ETag` changes with it.",
                    "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
                    "content": _json_of_any(),
                },
                304: _UNCHANGED,
            },
            parameters=(_IF_NONE_MATCH,),
        ),
    }


@cache
def document() -> conditional.Document:
    """Return the document as JSON."""
    paths: Document = {}
    for (method, path), operation in operations().items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation)
    body = orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "mxcheck-service",
                "version": __version__,
                "summary": "Does the sender's domain really receive mail?",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": _schemas(),
                "responses": {f"Problem{status}": _problem(status) for status in _PROBLEMS},
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "server.auth_token, when set."},
                    "admin_token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "server.admin_token, when set; else server.auth_token, when set.",
                    },
                },
            },
        }
    )
    return conditional.Document.of(body, "application/json")


async def serve(request: web.Request, state: State) -> web.Response:
    """Send the document, or word that the one at hand is still right."""
    # Made when first asked for, which takes some tens of milliseconds that no check is to wait for.
    return (await asyncio.to_thread(document)).answer(request)


def _operation(method: str, path: str, operation: Operation) -> Document:
    replies: Document = {str(status): reply for status, reply in operation.replies.items()}
    replies |= {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in operation.problems}
    words = path.replace("{", "").replace("}", "").replace("/", " ").replace(".", " ").replace("-", " ").split()
    found: Document = {
        "operationId": "_".join((method.lower(), *words)),
        "summary": operation.summary,
        "responses": replies,
    }
    for name in ("description", "parameters", "security"):
        if value := getattr(operation, name):
            found[name] = value
    return found | ({"requestBody": operation.body} if operation.body else {})


def _problem(status: int) -> Document:
    header = _HEADERS.get(status)
    content: Document = {"schema": {"$ref": _REF.format(model="Problem")}}
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        content["example"] = examples.PROBLEM
    return {
        "description": _PROBLEMS[status],
        "content": {"application/problem+json": content},
    } | ({"headers": {header: {"required": True, "schema": {"type": "string"}}}} if header else {})


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@cache
def _schemas() -> Document:
    """Return the schema of every model by its name."""
    wanted: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((model.__name__, "validation", TypeAdapter(model)) for model in _INPUT),
        *((model.__name__, "serialization", TypeAdapter(model)) for model in _OUTPUT),
    ]
    _, found = TypeAdapter.json_schemas(wanted, ref_template=_REF, schema_generator=_Untitled)
    return dict(found["$defs"])
