"""A socket at a path: who may write to the file may ask. Never open to more than that, and gone in the end."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def bound(path: str, mode: int) -> Iterator[socket.socket]:
    """Yield a socket bound to the path, whose file has this mode from its first moment and is removed in the end.

    What a dead service has left there is replaced. Raises OSError when somebody listens there, or it cannot be had.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        try:
            if is_served(path):
                raise OSError(errno.EADDRINUSE, "another service listens there; end it, or name another path")
            Path(path).unlink(missing_ok=True)
            # The file is there, with its mode, before this returns; chmod afterwards would be too late.
            former = os.umask(0o777 & ~mode)
            try:
                taken.bind(path)
            finally:
                os.umask(former)
        except OSError as error:
            raise OSError(f"server.unix_socket: {path}: {error.strerror or error}") from None
        made = Path(path).lstat()
        try:
            yield taken
        finally:
            with suppress(OSError):
                found = Path(path).lstat()
                # Unless somebody else has put another one in its place.
                if (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino):
                    Path(path).unlink()


def is_served(path: str) -> bool:
    """Return whether somebody listens there; raises OSError when there is no telling, or no socket."""
    try:
        found = Path(path).lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "there is something else than a socket; remove it, or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            pass  # its queue is full
    return True
