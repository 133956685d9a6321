"""Looking keys up in the maps of a check, with a step in the trace for each hit."""

from collections.abc import Sequence

from mxcheck_service.core.maplist import GlobMap, MapHit, RadixMap
from mxcheck_service.trace import Trace


def find(
    setting: str, table: GlobMap | RadixMap | None, keys: Sequence[str], trace: Trace
) -> tuple[str, MapHit] | None:
    """Return the first key the map knows, with its entry."""
    if table is not None:
        for key in keys:
            hit = table.get(key)
            if hit:
                trace.saw("map", setting=setting, key=key, value=hit.value, entry=hit.origin)
                return key, hit
    return None


def without_excluded(ips: Sequence[str], excluded: RadixMap | None, trace: Trace) -> tuple[list[str], list[str]]:
    """Return (addresses that may be probed, map values of those that may not)."""
    kept: list[str] = []
    keys: list[str] = []
    for ip in ips:
        hit = find("exclude_ips", excluded, [ip], trace)
        if hit:
            keys.append(hit[1].value)
        else:
            kept.append(ip)
    return kept, keys
