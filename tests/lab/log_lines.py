"""The lines of the service's log, taken apart; and requests of which every octet counts."""

import asyncio
import json
import re
import shlex
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

FORMS = ("json", "text")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_TEXT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (debug|info|warning|error) +(.*)")
_FIELD = re.compile(r" (?=\w+=)")


def lines(log: str, form: str) -> list[dict[str, Any]]:
    """Every line of a log, taken apart. One that is not as it should be fails the test."""
    assert not _CONTROL.search(log)
    return [json.loads(line) if form == "json" else _from_text(line) for line in log.splitlines()]


def _from_text(line: str) -> dict[str, Any]:
    match = _TEXT.fullmatch(line)
    assert match, line
    time, level, rest = match.groups()
    message = _FIELD.split(rest)[0]
    found: dict[str, Any] = {"time": time, "level": level, "message": message}
    if message in ("check", "check refused"):
        fields = shlex.split(rest.removeprefix(message))
        found |= {name: value for name, _, value in (field.partition("=") for field in fields)}
    return found


def checks(log: str, form: str) -> list[dict[str, Any]]:
    return [line for line in lines(log, form) if line["message"].startswith("check")]


def as_text(line: Mapping[str, Any]) -> dict[str, str]:
    """A line's fields as the text form writes them."""
    return {name: _shown(value) for name, value in line.items() if value not in (None, [])}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(each if isinstance(each, str) else "/".join(each.values()) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def domains(*found: str) -> list[dict[str, str]]:
    return [dict(zip(("domain", "source", "verdict"), each.split(), strict=True)) for each in found]


async def raw(url: str, request: bytes) -> bytes:
    """Send octets and return the beginning of what comes back."""
    to = urlsplit(url)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    with closing(writer):
        writer.write(request)
        return await reader.read(4096)


def post(body: Any, *headers: bytes) -> bytes:
    text = json.dumps(body).encode()
    head = [
        b"POST /v1/check HTTP/1.1",
        b"Host: x",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(text),
    ]
    return b"\r\n".join([*head, *headers, b"", text])


def returned(reply: bytes) -> str | None:
    """The header X-Request-Id of a reply."""
    match = re.search(rb"^X-Request-Id: (.*?)\r$", reply, re.MULTILINE)
    return match[1].decode() if match else None
