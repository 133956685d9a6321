"""A row of the table as a message to rspamd, and rspamd's reply in the terms of the row."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.scenarios.row import Row, fill

# Tells in a symbol of its own what the greylist module would be asked: whether it acts hangs on scores and its cache.
GREYLIST_WITNESS = """
rspamd_config:register_symbol({
  name = 'GREYLIST_ASKED_FOR',
  type = 'postfilter',
  score = 0.0,
  callback = function(task)
    if task:get_mempool():get_variable('grey_greylisted_required') then
      task:insert_result('GREYLIST_ASKED_FOR', 1.0)
    end
  end,
})
"""

# Out of the way of scores: what is rejected under these was rejected on the service's word.
ACTIONS = "reject = 1000; add_header = 900; greylist = 800;"


def message(body: Mapping[str, Any]) -> bytes:
    """The message whose headers the request speaks of."""
    lines = [f"From: {value}" for value in values(body.get("mime_from"))]
    lines += [f"Reply-To: {value}" for value in values(body.get("reply_to"))]
    lines += ["Subject: hello", "", "Hello.", ""]
    return "\r\n".join(lines).encode()


def envelope(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sender": body.get("sender") or "<>",
        "helo": body.get("helo"),
        "ip": body.get("client_ip"),
        "user": "somebody" if body.get("authenticated") else None,
    }


def values(field: str | Sequence[str] | None) -> Sequence[str]:
    return () if field is None else (field,) if isinstance(field, str) else field


def seen(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What rspamd's reply says of the plugin's symbols and of its action."""
    ours = {name: symbol for name, symbol in reply["symbols"].items() if "MX_" in name or "MY_" in name}
    assert "MXCHECK_FAIL" not in reply["symbols"]
    greylist = "GREYLIST_ASKED_FOR" in reply["symbols"]
    return {
        "symbols": {name: (symbol["score"], tuple(symbol.get("options", ()))) for name, symbol in ours.items()},
        "action": "reject" if reply["action"] == "reject" else "greylist" if greylist else "no action",
        "message": reply["messages"].get("smtp_message"),
    }


def wanted(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    symbols = fill(row.symbols, names)
    return {
        "symbols": {name: (symbol.score, symbol.options) for name, symbol in symbols.items()},
        "action": row.action,
        "message": row.smtp_message,
    }
