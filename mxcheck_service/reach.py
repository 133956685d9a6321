"""The last door before a probe: whatever has led there, only public addresses are dialled.

The attempts take the public addresses of a host before, and tell of the others. This one holds where that is forgotten:
for what comes out of the cache, is renewed, or is added later.
"""

import logging

from mxcheck_service.core.addresses import IpClasses
from mxcheck_service.ports import ConnectError, Connection, ConnectProblem, Dialer

_log = logging.getLogger(__name__)


class PublicOnly:
    """A dialer that withholds what is no public address under these classes."""

    def __init__(self, dialer: Dialer, classes: IpClasses) -> None:
        self._dialer = dialer
        self._classes = classes

    async def connect(self, ip: str, port: int, timeout: float) -> Connection:
        if not self._classes.is_public(ip):
            _log.error("a defect: %s was to be probed, which is no public address; it was not", ip)
            raise ConnectError(ConnectProblem.WITHHELD, "no public address")
        return await self._dialer.connect(ip, port, timeout)
