"""GET /openapi.json: a valid document, of every route and no other; its examples and statuses are what happens."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from yarl import URL

from mxcheck_service import __version__
from mxcheck_service.web.gate import STATE, Phase
from tests.lab.openapi import Document, Interface
from tests.web.conftest import Client, StartService

VOLATILE = ("time_ms", "time_real", "age_s", "left_s", "cached")


async def read(client: Client) -> Interface:
    async with client.get("/openapi.json") as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        return Interface(await response.json())


async def test_the_document_is_valid_openapi_3_1(client: Client) -> None:
    async with client.get("/openapi.json") as response:
        document = await response.json()
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__
    OpenAPIV31SpecValidator(document).validate()


async def test_the_document_has_every_route_and_no_other(client: Client) -> None:
    app = app_of(client)
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource and route.method not in ("*", "HEAD")
    }
    interface = await read(client)
    assert {(method, path) for method, path, _ in interface.operations()} == routed


async def test_operations_have_names_of_their_own_and_every_model_is_used(client: Client) -> None:
    interface = await read(client)
    names = [operation["operationId"] for _, _, operation in interface.operations()]
    assert len(set(names)) == len(names)
    text = json.dumps(interface.document)
    components = interface.document["components"]
    for kind in ("schemas", "responses"):
        assert all(f'"#/components/{kind}/{name}"' in text for name in components[kind])
    assert {
        scheme for _, _, op in interface.operations() for choice in op.get("security", ()) for scheme in choice
    } == set(components["securitySchemes"])


async def test_a_document_at_hand_is_not_sent_again(client: Client) -> None:
    async with client.get("/openapi.json") as response:
        tag = response.headers["ETag"]
    for known, status in ((tag, 304), (f'"other", {tag}', 304), ("*", 304), ('"other"', 200), ("nonsense", 200)):
        async with client.get("/openapi.json", headers={"If-None-Match": known}) as response:
            assert (response.status, response.headers["ETag"]) == (status, tag)
            assert bool(await response.read()) == (status == 200)


async def test_every_field_of_the_request_is_a_parameter_of_get(client: Client) -> None:
    interface = await read(client)
    fields = interface.document["components"]["schemas"]["CheckRequest"]["properties"]
    parameters = interface.document["paths"]["/v1/check"]["get"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == fields.keys() | {"explain"}


async def test_the_examples_are_what_happens(client: Client) -> None:
    """Each request is made with the examples of its parameters and body, and the reply is the example, times aside."""
    interface = await read(client)
    compared = 0
    for method, path, operation in interface.operations():
        status, headers, body = await ask(client, method, path, operation)
        interface.check(operation, status, headers, body)
        for media_type, content in interface.reply(operation, status).get("content", {}).items():
            if "example" in content:
                assert interface.problems(content["schema"], content["example"]) == []
                compared += 1
                if media_type == "application/json":
                    assert timeless(json.loads(body)) == timeless(content["example"]), path
                else:
                    assert content["example"].splitlines()[-1].encode() in body
    assert compared == 8


PROVOKE: dict[int, Callable[[Client, str, str, Document], Awaitable[tuple[int, Any, bytes]]]] = {
    400: lambda client, method, path, op: unfinished(client, method, path, b"no chunk"),
    408: lambda client, method, path, op: unfinished(client, method, path, b"2\r\n{}\r\n"),
    413: lambda client, method, path, op: ask(client, method, path, op, data=b" " * 600_000),
    415: lambda client, method, path, op: ask(client, method, path, op, headers={"Content-Encoding": "gzip"}),
    404: lambda client, method, path, op: ask(
        client, method, path.replace("{key}", "192.0.2.1").replace("{name}", "nothing.js"), op
    ),
}
TOO_MANY = b"From: " + b"a@b.test," * 200 + b"\r\n\r\n"


async def test_every_documented_problem_happens_and_is_as_documented(start: StartService, tmp_path: Path) -> None:
    map_file = tmp_path / "bad_mxs.map"
    map_file.write_text("bad.test\n")
    client = await start(
        server={"auth_token": "auth", "admin_token": "admin", "request_seconds": 0.1},
        mx_check={"bad_mxs": str(map_file)},
    )
    without_token = await start()
    interface = await read(client)
    state = app_of(client)[STATE]
    seen = set()
    for method, path, operation in interface.operations():
        token = "admin" if path.startswith(("/v1/cache/", "/-/")) else "auth"
        client.session.headers["Authorization"] = f"Bearer {token}"
        for status in map(int, operation["responses"]):
            if status < 400:
                continue
            if status == 401:
                del client.session.headers["Authorization"]
                found = await ask(client, method, path, operation)
                client.session.headers["Authorization"] = f"Bearer {token}"
            elif status == 403:
                found = await ask(without_token, method, path, operation, headers={"Sec-Fetch-Site": "cross-site"})
            elif status == 500:
                map_file.unlink()
                found = await ask(client, method, path, operation)
            elif status == 503:
                state.phase = Phase.DRAINING
                found = await ask(client, method, path, operation)
                state.phase = Phase.READY
            elif status == 422:
                wrong: dict[str, Any] = {"path": path.replace("{key}", "*")}
                if path == "/v1/check":
                    wrong = {"path": f"{path}?explain=perhaps"}
                elif path == "/v1/stats":
                    wrong = {"path": f"{path}?settings=perhaps"}
                elif path == "/checkv2":
                    wrong = {"path": path, "data": TOO_MANY}
                found = await ask(client, method, wrong.pop("path"), operation, **wrong)
            else:
                found = await PROVOKE[status](client, method, path, operation)
            assert found[0] == status, (method, path)
            interface.check(operation, *found)
            seen.add(status)
    assert seen == {400, 401, 403, 404, 408, 413, 415, 422, 500, 503}


async def test_an_explained_reply_is_as_documented(client: Client) -> None:
    interface = await read(client)
    operation = interface.document["paths"]["/v1/check"]["get"]
    for _ in range(2):
        async with client.get("/v1/check?sender=a@good.test&mime_from=b@null.test&explain=1") as response:
            interface.check(operation, response.status, response.headers, await response.read())


async def test_the_models_notice_what_is_not_documented(client: Client) -> None:
    """The checks above can fail: a reply with one property more, less, or of another type is no match."""
    interface = await read(client)
    schema = {"$ref": "#/components/schemas/Problem"}
    good: Document = {"type": "about:blank", "title": "t", "status": 404, "detail": "d"}
    assert interface.problems(schema, good) == []
    for bad in (good | {"extra": 1}, good | {"status": "404"}, {key: good[key] for key in ("type", "title", "status")}):
        assert interface.problems(schema, bad)


def app_of(client: Client) -> web.Application:
    app = client.server.app  # type: ignore[attr-defined]
    assert isinstance(app, web.Application)
    return app


async def ask(
    client: Client, method: str, path: str, operation: Document, *, data: bytes | None = None, headers: Any = None
) -> tuple[int, Any, bytes]:
    """Make the request that the examples of an operation describe; returns status, headers and body."""
    sent: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        elif parameter["in"] == "header" and "example" in parameter:
            sent[parameter["name"]] = parameter["example"]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        sent["Content-Type"] = media_type
        example = content["example"]
        data = data or (example.encode() if isinstance(example, str) else json.dumps(example).encode())
    async with asyncio.timeout(30):
        url = URL(path, encoded=True)
        async with client.request(method, url, data=data, headers=sent | (headers or {})) as response:
            return response.status, response.headers, await response.read()


async def unfinished(client: Client, method: str, path: str, body: bytes) -> tuple[int, Any, bytes]:
    """Make a request of such chunks, of which there is no last one."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = (
        f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: {client.session.headers['Authorization']}",
        "Content-Type: application/json", "Transfer-Encoding: chunked", "", "",
    )  # fmt: skip
    async with asyncio.timeout(30):
        writer.write("\r\n".join(head).encode() + body)
        reply, _, document = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, fields = reply.decode().split("\r\n", 1)
    return int(status.split()[1]), dict(field.split(": ") for field in fields.split("\r\n")), document


def timeless(value: object) -> object:
    """Return the document with 0 for what differs from one time to the next."""
    if isinstance(value, dict):
        return {key: 0 if key in VOLATILE else timeless(item) for key, item in value.items()}
    return [timeless(item) for item in value] if isinstance(value, list) else value
