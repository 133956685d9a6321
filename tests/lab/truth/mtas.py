"""Real MTAs that take mail from anybody for anybody, at port 25 of addresses in the world.

They start in the network namespace of the thread that enters the context, where the addresses have to be local.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from tests.lab.mta import Exim, Mta, OpenSmtpd, Postfix

_SMTP = 25

PostfixServer: Final = partial(Postfix, port=_SMTP)
PostscreenServer: Final = partial(Postfix, port=_SMTP, greet_wait=6)
"""The wait is postscreen's own default."""
EximServer: Final = partial(Exim, port=_SMTP)
OpenSmtpdServer: Final = partial(OpenSmtpd, port=_SMTP)

SERVERS: Final[Mapping[str, Callable[[Sequence[str]], AbstractContextManager[Mta]]]] = {
    "postfix": PostfixServer,
    "postscreen": PostscreenServer,
    "exim": EximServer,
    "opensmtpd": OpenSmtpdServer,
}
"""How each placeholder of this name comes to life."""
