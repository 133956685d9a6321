"""rspamd's forms of a map, turned into entries and files.

A map is a URL, a list of URLs, a list of entries, or an object: `url`, `urls` or `upstreams`, of which "static" stands
for the entries in `data` (lua_maps.lua: map_add_from_ucl; map.c: rspamd_map_add_from_ucl).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from mxcheck_service.importing.draft import Draft

RADIX: Final = frozenset({"exclude_ips", "bad_ips"})
SETTINGS: Final = frozenset({"exclude_domains", "exclude_mxs", "bad_mxs"}) | RADIX

_TYPE: Final = re.compile(r"(regexp|re|regexp_multi|re_multi|glob|glob_multi|radix|ipnet|set|hash|plain|cdb);")
_SAME_TYPE: Final = {True: {"radix", "ipnet"}, False: {"glob", "glob_multi", "set", "hash", "plain"}}
_FLAGS: Final = re.compile(r"(?:sign\+|fallback\+|key=[^+]*\+)+")
_SIGNED: Final = re.compile(r"(?:fallback\+)*(?:sign\+|key=)")
_STATIC: Final = ("static", "zst+static")


def convert(draft: Draft, setting: str, value: Any) -> None:
    """Put a map setting into the draft, part by part."""
    if isinstance(value, dict) and value.get("external"):
        draft.leave_out("mx_check", setting, value, "maps that are asked over HTTP for each key are not supported")
        return
    sources, entries = _parts(value)
    files: list[str] = []
    missing: dict[str, str] = {}
    for source, kind, signed in _typed(sources):
        if why := _obstacle(source, kind, radix=setting in RADIX, signed=signed):
            missing[source] = why
        else:
            files.append(source)
    whole = entries + files
    if whole:
        local = any(not source.startswith(("http://", "https://")) for source in files)
        remark = "the file has to be readable where this service runs" if local else ""
        draft.put("mx_check", setting, files[0] if whole == files[:1] else whole, remark)
    elif not missing:
        draft.leave_out("mx_check", setting, value, "the map is empty")
    if missing:
        reasons = "; ".join(dict.fromkeys(missing.values()))
        draft.leave_out("mx_check", setting, list(missing), f"this part is missing: {reasons}" if whole else reasons)


def _parts(value: Any) -> tuple[list[str], list[str]]:
    """Return the URLs and the entries of a map."""
    if isinstance(value, dict):
        named = next((value[key] for key in ("upstreams", "url", "urls") if key in value), ())
        lines = [line for text in _texts(value.get("data", ())) for line in text.splitlines() if line.strip()]
        return [source for source in _texts(named) if source.lower() not in _STATIC], lines
    texts = _texts(value)
    named = [text for text in texts if _is_source(text)]
    # rspamd goes by the first one of a list.
    if isinstance(value, str) or texts[:1] == named[:1]:
        return texts, []
    return named, [text for text in texts if text not in named]


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value])]


def _is_source(text: str) -> bool:
    bare = _FLAGS.sub("", _TYPE.sub("", text, count=1))
    return bare.startswith(("/", "file:", "http://", "https://"))


def _typed(sources: list[str]) -> Iterator[tuple[str, str | None, bool]]:
    """Yield each source without what stands before its address, the type of map that was named last, and whether
    rspamd looks for a signature."""
    kind = None
    for source in sources:
        match = _TYPE.match(source)
        kind = match[1] if match else kind
        bare = source[match.end() :] if match else source
        yield _FLAGS.sub("", bare), kind, bool(_SIGNED.match(bare))


def _obstacle(source: str, kind: str | None, *, radix: bool, signed: bool) -> str | None:
    """Return why a map cannot be taken from there."""
    if kind and kind not in _SAME_TYPE[radix]:
        return (
            f"maps of type {kind} are not supported here: write what it holds as a {'radix' if radix else 'glob'} map"
        )
    if signed:
        return "signatures of maps are not supported: name it only if you trust where it comes from without one"
    if not source.startswith(("/", "file://", "http://", "https://")):
        return "rspamd takes this for the address of a map, and it is none; entries go into a list"
    return None
