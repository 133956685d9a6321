"""What a set of MX records means."""

import re
from collections.abc import Sequence

from mxcheck_service.core.codec import MxList
from mxcheck_service.core.model import MxHost, Verdict

_HOST_NAME = re.compile(r"[A-Za-z0-9.-][A-Za-z0-9._-]*", re.ASCII)


def usable(records: Sequence[MxHost], cap: int) -> MxList | Verdict:
    """Return the hosts to ask, best first, or the verdict that the records alone are.

    `records` is not empty. Null MX is exactly one record, preference 0, root target (RFC 7505 section 3). Targets that
    are no host names are dropped: those that begin with `_` (RFC 952, RFC 1123 section 2.1), as placeholder records do,
    and those with characters that no lookup could be made for. Hosts are sorted by preference (RFC 5321 section 5.1;
    equal ones keep their order) and cut to `cap`.
    """
    if len(records) == 1 and records[0].preference == 0 and not records[0].exchange:
        return Verdict.NULL
    hosts = [
        MxHost(record.preference, record.exchange.lower())
        for record in records
        if _HOST_NAME.fullmatch(record.exchange)
    ]
    if not hosts:
        return Verdict.BROKEN
    hosts.sort(key=lambda host: host.preference)
    return MxList(tuple(hosts[:cap]))
