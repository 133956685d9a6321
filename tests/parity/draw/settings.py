"""Settings, each of them varied, and the combinations the reference refuses."""

from collections.abc import Callable

from tests.parity.draw.draft import Draft
from tests.parity.world import Setting

RARE_FLAGS = ("check_from", "check_mime_from", "check_reply_to")
FLAGS: dict[str, float] = {
    "verify_greeting": 0.75,
    "send_quit": 0.5,
    "reject_null_mx": 0.35,
    "reject_authorized": 0.3,
    "reject_local": 0.3,
    "greylist_invalid": 0.75,
    "greylist_none": 0.75,
    "greylist_broken": 0.75,
    "greylist_refused": 0.75,
    "greylist_null": 0.75,
    "greylist_timeout_connect": 0.75,
    "greylist_timeout_read": 0.75,
    "greylist_authorized": 0.3,
    "greylist_local": 0.3,
    "check_authorized": 0.6,
    "check_local": 0.6,
    "test_mode": 0.08,
    "prefer_ipv6": 0.5,
}
SYMBOLS = (
    "symbol_bad_mx",
    "symbol_good_mx",
    "symbol_white_mx",
    "symbol_mx_refused",
    "symbol_mx_timeout_connect",
    "symbol_mx_timeout_read",
    "symbol_mx_error",
    "symbol_mx_none",
    "symbol_mx_null",
    "symbol_mx_broken",
    "symbol_mx_dns_fail",
    "symbol_mx_a_good",
    "symbol_mx_a_refused",
    "symbol_mx_a_timeout_connect",
    "symbol_mx_a_timeout_read",
    "symbol_mx_a_error",
    "symbol_mx_a_invalid",
    "symbol_mx_local_only",
    "symbol_mx_local_mix",
    "symbol_mx_bogon_only",
    "symbol_mx_bogon_mix",
    "symbol_mx_skip",
    "symbol_mx_bad",
    "symbol_mx_ip_bad",
    "symbol_mx_inflight",
    "symbol_mx_redis_error",
)
REFUSED: tuple[dict[str, Setting], ...] = (
    {"probe_ipv4": False, "probe_ipv6": False},
    {"check_from": False, "check_mime_from": False, "check_reply_to": False},
    {"expire": 0},
    {"expire": -1},
    {"expire_novalid": 0},
    {"expire_novalid": -60},
    {"expire_timeout": 0},
    {"expire_timeout": -7200},
    {"expire_dns": -1},
    {"max_mx_a_records": 0},
    {"max_mx_a_records": -3},
    {"max_mx_a_records": 1, "probe_ipv4": True, "probe_ipv6": True},
)
# TTLs in whole seconds: Redis takes no others. None is so short that an entry could go away during a request.
NUMBERS: dict[str, Callable[[Draft], Setting]] = {
    "expire": lambda draft: draft.rng.choice((60, 3600, 86401)),
    "expire_novalid": lambda draft: draft.rng.choice((90, 14401)),
    "expire_timeout": lambda draft: draft.rng.choice((75, 7201)),
    "expire_dns": lambda draft: draft.rng.choice((0, 0, 120, 1801)),
    "max_mx_a_records": lambda draft: draft.rng.choice((2, 2, 4, 5, 8)),
    "port": lambda draft: draft.rng.choice((2525, 1, 65535)),
    "key_prefix": lambda draft: draft.rng.choice(("mxc", "a:b", "r-m_x")),
    "reject_null_mx_message": lambda draft: draft.rng.choice(("No mail there", "\u00bfQu\u00e9?", "")),
}
PREFIXES = ("", "", "MIME_FROM_", "REPLYTO_", "X_", "ENV_")


def draw_settings(draft: Draft) -> None:
    """Draw settings that the reference accepts."""
    settings, rng = draft.settings, draft.rng
    for name, likely in FLAGS.items():
        if draft.chance(0.6):
            settings[name] = draft.chance(likely)
    for name in RARE_FLAGS:
        if draft.chance(0.05):
            settings[name] = False
    if all(settings.get(name) is False for name in RARE_FLAGS):
        settings["check_from"] = True
    families = rng.choice(((True, False), (True, False), (True, True), (True, True), (False, True)))
    settings["probe_ipv4"], settings["probe_ipv6"] = families
    for name, draw in NUMBERS.items():
        if draft.chance(0.15):
            settings[name] = draw(draft)
    if not all(families) and draft.chance(0.08):
        settings["max_mx_a_records"] = 1
    if draft.chance(0.08):
        _rename(draft)
    _draw_timeouts(draft)


def draw_refused_settings(draft: Draft) -> None:
    """Draw settings that the reference refuses: it disables itself."""
    draw_settings(draft)
    draft.settings.update(draft.rng.choice(REFUSED))


def _rename(draft: Draft) -> None:
    for source in ("from", "mime_from", "reply_to"):
        if draft.chance(0.6):
            draft.settings[f"symbol_prefix_{source}"] = draft.rng.choice(PREFIXES)
    # A name of its own for each: which description two settings of one name get is nobody's promise.
    for name in SYMBOLS:
        if draft.chance(0.3):
            draft.settings[name] = f"MY_{name.removeprefix('symbol_').upper()}"


def _draw_timeouts(draft: Draft) -> None:
    settings, rng = draft.settings, draft.rng
    if draft.chance(0.3):
        settings["connect_timeout"] = rng.choice((1, 1.5, 2.25, 3))
    if draft.chance(0.3):
        settings["read_timeout"] = rng.choice((1, 2.5, 4.75, 6))
    # The deprecated names count only where the new ones are not set.
    if draft.chance(0.04):
        settings["timeout"] = rng.choice((1.25, 4))
    if draft.chance(0.04):
        settings["wait_for_greeting"] = draft.chance(0.7)
        if draft.chance(0.7):
            settings.pop("verify_greeting", None)
