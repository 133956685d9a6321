"""A host with a port, as a person writes it, in the settings and on the command line."""

import pytest

from mxcheck_service.config import ConfigError, parse
from mxcheck_service.core.endpoint import endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("mx.example", "mx.example", None),
        ("mx.example:2525", "mx.example", 2525),
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:26", "192.0.2.1", 26),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:26", "2001:db8::1", 26),
    ],
)
def test_what_it_reads(text: str, host: str, port: int | None) -> None:
    assert endpoint(text) == (host, port)


@pytest.mark.parametrize("text", ["", ":25", "a:b", "a:0", "a:65536", "[::1", "a/b", "u@a", "a?b"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST or HOST:PORT"):
        endpoint(text)
    with pytest.raises(ConfigError, match=r"improvements.egress_check: .* is not HOST or HOST:PORT"):
        parse({"improvements": {"egress_check": ["mx.example", text]}})
