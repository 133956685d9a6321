"""What listens on port 25, or does not: connect outcomes, greetings, the pieces they come in and how they end."""

from collections.abc import Iterator

from tests.parity.draw.draft import Draft, weighted
from tests.parity.world import Connect, Ending, Peer

CONNECTS: dict[Connect, float] = {
    "ok": 0.7,
    "refused": 0.07,
    "reset": 0.04,
    "timeout": 0.06,
    "unreachable": 0.04,
    "no route": 0.03,
    "denied": 0.03,
    "unavailable": 0.03,
}
FIRST_LINES = (
    "220 mx.example ESMTP",
    "220 ",
    "220-",
    "220",
    "220\tmx.example",
    "2200 mx",
    "22",
    " 220 mx",
    "250 mx.example",
    "250-mx.example",
    "211 help",
    "150 wait",
    "354 go on",
    "334-",
    "421 too busy",
    "450-later",
    "554 no service here",
    "521-",
    "600 beyond",
    "099 below",
    "",
    "\r",
    "SSH-2.0-OpenSSH_9.2",
    "HTTP/1.0 400 Bad Request",
    "* OK IMAP4rev1",
    "\x16\x03\x01\x02\x00",
    "220 \x00 octets \x80\xff",
    "\u00b2\u00b2\u00b0 not ASCII digits",
    f"220 {'long ' * 600}",
)
GREETINGS = (
    ("220 mx.example ESMTP",),
    ("220-mx.example", "220 ready"),
    ("220-mx.example", "220-patience", "220 ready"),
    ("220-mx.example", "220-patience", "220-more"),
    ("220-mx.example", "220"),
    ("220-mx.example", "250 ready"),
    ("220-mx.example", "451 not now"),
    ("220-mx.example", "554-go away", "554 really"),
    ("220-mx.example", "ready"),
    ("220-mx.example", ""),
    ("220-mx.example", "221 bye"),
    ("220-mx.example",),
    ("220 mx.example", "554 changed my mind"),
    ("421-busy", "421 come back"),
)
ENDINGS: dict[Ending, float] = {"silence": 0.45, "eof": 0.35, "reset": 0.2}


def draw_peer(draft: Draft) -> Peer:
    """Draw a peer."""
    connect = weighted(draft.rng, CONNECTS)
    if connect != "ok":
        return Peer(connect)
    text = _greeting(draft)
    ending = weighted(draft.rng, ENDINGS)
    # rspamd never answers when one octet is left in its buffer at the end: the task times out without a verdict.
    if len(text.rpartition("\r\n")[2]) == 1:
        ending = "silence"
    chunks = tuple(_chunks(draft, text))
    return Peer("ok", chunks, ending, _pause(draft, len(chunks), ending))


def _greeting(draft: Draft) -> str:
    kind = weighted(draft.rng, {"lines": 0.42, "first": 0.4, "nothing": 0.08, "LF": 0.05, "cut": 0.05})
    match kind:
        case "lines":
            return "".join(f"{line}\r\n" for line in draft.rng.choice(GREETINGS))
        case "first":
            return draft.rng.choice(FIRST_LINES) + "\r\n"
        case "LF":
            return draft.rng.choice(("220 mx.example\n", "220-a\n220 b\n", "220 mx.example\r", "220-a\r\n220 b\n"))
        case "cut":
            text = "".join(f"{line}\r\n" for line in draft.rng.choice(GREETINGS))
            return text[: draft.rng.randrange(len(text))]
    return ""


def _chunks(draft: Draft, text: str) -> Iterator[str]:
    match weighted(draft.rng, {"whole": 0.5, "bytes": 0.15, "pieces": 0.35}):
        case "whole":
            size = (len(text), len(text))
        case "bytes":
            size = (1, 1)
        case _:
            size = (1, 9)
    while text:
        length = draft.rng.randint(*size)
        yield text[:length]
        text = text[length:]


def _pause(draft: Draft, chunks: int, ending: Ending) -> float:
    """Let some peers hesitate: each pause is below the read timeout, their sum above it or not.

    The whole stays below connect and read timeout together, since a lookup is compared only within its deadline.
    """
    if not 0 < chunks <= 40 or draft.chance(0.85):
        return 0.0
    connect, read = draft.seconds("connect_timeout"), draft.seconds("read_timeout")
    longest = (connect if ending == "silence" else connect + read) / (chunks + 1)
    return min(longest, read * draft.rng.choice((0.3, 0.6, 0.9)))
