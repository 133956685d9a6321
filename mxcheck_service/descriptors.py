"""The limit of open files: as high as the process may have it, and how it is shared out."""

import resource
from typing import Final

ENOUGH: Final = 65536
"""More are not asked for: what the kernel keeps for so many sockets is all that one process should cost it."""


def raise_limit() -> int:
    """Raise the limit of open files to what may be had, at most `ENOUGH`; return it.

    The customary soft limit of 1024 is there for programs that use select(2), which knows no higher number. Nothing in
    this process does, and who writes to us decides how many sockets it needs.
    """
    soft, hard = (
        ENOUGH if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = min(hard, ENOUGH)
    if soft >= wanted:
        return soft
    # Up to the hard limit every process may have; only that one stays as it is.
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return wanted
