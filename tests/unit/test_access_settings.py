"""Settings of who may ask: what is refused at the start, so that nobody believes in a guard that is none."""

from typing import Any

import pytest

from mxcheck_service import config
from mxcheck_service.config import ConfigError


def problems(**server: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse({"server": server})
    return caught.value.problems


@pytest.mark.parametrize("setting", ["auth_token", "admin_token"])
@pytest.mark.parametrize(
    ("token", "told"),
    [
        ("", "must not be empty; null asks for no token"),
        (" geheim", "must be printable ASCII"),
        ("geheim ", "must be printable ASCII"),
        ("geheim\n\nzwei", "must be printable ASCII"),
        ("gehe\tim", "must be printable ASCII"),
        ("gehe\0im", "must be printable ASCII"),
        ("gehäim", "must be printable ASCII"),
    ],
)
def test_token_that_no_header_could_carry(setting: str, token: str, told: str) -> None:
    (problem,) = problems(**{setting: token})
    assert problem.startswith(f"server.{setting}: {told}")
    assert "gehe" not in problem
    assert "geh\xe4" not in problem


def test_every_one_of_several_tokens_is_a_secret() -> None:
    settings = config.parse({"server": {"auth_token": "first-one\nsecond one"}}).settings
    assert config.secrets(settings) == {"first-one", "second one"}
    assert "first-one" not in config.dump(settings)


def test_empty_file_of_a_token(tmp_path: Any) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError) as caught:
        config.load(None, {"MXCHECK_SERVER__AUTH_TOKEN_FILE": str(tmp_path / "token")})
    (problem,) = caught.value.problems
    assert problem == "MXCHECK_SERVER__AUTH_TOKEN_FILE: server.auth_token: must not be empty; null asks for no token"


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("example.com", "'example.com' is not an IP address or network"),
        ("fe80::1%eth0", "without a zone id"),
        ("", "is not an IP address or network"),
        ("10.0.0.0/33", "is not an IP address or network"),
    ],
)
def test_network_that_is_none(network: str, told: str) -> None:
    (problem,) = problems(allow=["10.0.0.0/8", network])
    assert problem.startswith("server.allow: ")
    assert told in problem


@pytest.mark.parametrize("mode", [432, 660, "660x", "8", "0999", "1777", "-rw", None])
def test_mode_that_is_none(mode: object) -> None:
    (problem,) = problems(unix_socket_mode=mode)
    assert problem.startswith('server.unix_socket_mode: must be an octal number in quotes, such as "0660"')


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"port": None}, ["server.port: is null, and so is server.unix_socket: nobody could get in"]),
        ({"tls_key": "k"}, ["server.tls_key: is of no use without server.tls_cert"]),
        ({"tls_client_ca": "c"}, ["server.tls_client_ca: is of no use without server.tls_cert"]),
        (
            {"tls_cert": "c", "port": None, "unix_socket": "s"},
            ["server.tls_cert: is for who comes by TCP, and server.port is null"],
        ),
    ],
)
def test_settings_that_do_not_go_together(server: dict[str, Any], told: list[str]) -> None:
    assert problems(**server) == told


def test_port_may_be_switched_off_from_the_environment() -> None:
    environ = {"PORT": "null", "UNIX_SOCKET": "/run/x", "ALLOW": '["::1"]'}
    server = config.load(None, {f"MXCHECK_SERVER__{name}": text for name, text in environ.items()}).settings.server
    assert (server.port, server.unix_socket, server.allow) == (None, "/run/x", ("::1",))
