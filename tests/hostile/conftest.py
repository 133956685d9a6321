"""What tests of hostile mail hosts need."""

from collections.abc import Iterator

import pytest

from tests.hostile.mail_hosts import Lab
from tests.lab.dnsd import DnsServer
from tests.lab.smtp_farm import SmtpFarm


@pytest.fixture
def farm() -> Iterator[SmtpFarm]:
    with SmtpFarm() as farm:
        yield farm


@pytest.fixture
def lab(farm: SmtpFarm, dns_server: DnsServer) -> Lab:
    return Lab(farm, dns_server)
