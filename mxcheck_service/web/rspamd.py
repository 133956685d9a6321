"""rspamd's own protocol, so that rspamc and other rspamd clients can ask: POST /checkv2, GET /ping.

Source: rspamd's protocol documentation; the client's headers tell the envelope, the body is the message (RFC 5322).
"""

import time
from email.parser import BytesHeaderParser
from email.policy import compat32

import orjson
from aiohttp import web

from mxcheck_service.checker import Message
from mxcheck_service.core.candidates import Envelope, TooManyAddresses
from mxcheck_service.core.networks import parse_ip
from mxcheck_service.web import schema
from mxcheck_service.web.arrivals import refuse_coded
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.gate import State

_REQUIRED_SCORE = 15.0
"""What rspamd's clients show beside the score: rspamd's own default for rejecting."""


async def check(request: web.Request, state: State) -> web.Response:
    """Check the message in the body, under the envelope in the headers."""
    refuse_coded(request)
    message = _message(request, await state.arrivals.whole(request))
    started = time.monotonic()
    try:
        report = await state.checker.check(message, state.lag.at(started))
    except TooManyAddresses as error:
        raise ApiError(422, f"the header field {error.field} {error}") from None
    seconds = time.monotonic() - started
    state.checked(request, message.client_ip, report, seconds)
    document: schema.RspamdReply = {**schema.reply(report, seconds), "required_score": _REQUIRED_SCORE}
    return web.Response(body=orjson.dumps(document), content_type="application/json")


async def ping(request: web.Request, state: State) -> web.Response:
    """Answer as rspamd does."""
    return web.Response(text="pong\r\n")


def _message(request: web.Request, body: bytes) -> Message:
    headers = BytesHeaderParser(policy=compat32).parsebytes(body)
    ip = request.headers.get("IP")
    return Message(
        Envelope(
            sender=request.headers.get("From"),
            mime_from=[str(value) for value in headers.get_all("From", ())],
            reply_to=[str(value) for value in headers.get_all("Reply-To", ())],
            helo=request.headers.get("Helo"),
        ),
        client_ip=ip if ip is not None and parse_ip(ip) is not None else None,
        authenticated="User" in request.headers,
    )
