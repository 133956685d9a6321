"""What a set of MX records means."""

import re
from collections.abc import Sequence

from mxcheck_service.core.codec import MxList
from mxcheck_service.core.model import MxHost, Verdict

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


def usable(records: Sequence[MxHost], cap: int, *, underscores: bool) -> MxList | Verdict:
    """Return the hosts to ask, best first, or the verdict that the records alone are.

    `records` is not empty. Null MX is exactly one record, preference 0, root target (RFC 7505 section 3). Targets with
    characters that no lookup could be made for are dropped, and without `underscores` those that begin with `_`, which
    are no host names (RFC 952, RFC 1123 section 2.1): placeholders mostly, but some take mail. Hosts are sorted by
    preference (RFC 5321 section 5.1; equal ones keep their order) and cut to `cap`.
    """
    if len(records) == 1 and records[0].preference == 0 and not records[0].exchange:
        return Verdict.NULL
    hosts = [
        MxHost(record.preference, record.exchange.lower())
        for record in records
        if _HOST_NAME.fullmatch(record.exchange) and (underscores or not record.exchange.startswith("_"))
    ]
    if not hosts:
        return Verdict.BROKEN
    hosts.sort(key=lambda host: host.preference)
    return MxList(tuple(hosts[:cap]))
