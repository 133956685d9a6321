"""Settings out of the environment, and the defaults against the reference's own table."""

import dataclasses
import os
import re
from pathlib import Path

import pytest

from mxcheck_service import config
from mxcheck_service.config import ConfigError
from mxcheck_service.core.settings import RSPAMD_LOCAL_ADDRS, MxCheckSettings
from mxcheck_service.settings import Settings

OWN_SETTINGS = {
    "local_addrs",
    "exclude_domains",
    "exclude_mxs",
    "exclude_ips",
    "bad_mxs",
    "bad_ips",
    "symbol_mx_probe_unavailable",
    "symbol_mx_ratelimited",
}
"""Not in the reference's table: rspamd's own option, the maps (which it reads elsewhere), and what is new."""


def load(**environ: str) -> Settings:
    return config.load(None, environ).settings


def problems(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(None, environ)
    return caught.value.problems


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("server: {port: 1, host: a}\npreset: reference\n")
    settings = config.load(file, {"MXCHECK_SERVER__PORT": "2", "MXCHECK_PRESET": "recommended"}).settings
    assert (settings.server.port, settings.server.host, settings.preset) == (2, "a", "recommended")


def test_command_line_wins_over_the_environment_and_is_named_by_its_option() -> None:
    environ = {"MXCHECK_SERVER__PORT": "2", "MXCHECK_SERVER__HOST": "a"}
    settings = config.load(None, environ, {"port": 3}).settings
    assert (settings.server.port, settings.server.host) == (3, "a")
    with pytest.raises(ConfigError, match=r"^--port: server\.port: "):
        config.load(None, environ, {"port": -3})


def test_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXCHECK_SERVER__PORT", "4242")
    assert config.load(None).settings.server.port == 4242


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("MXCHECK_SERVER__PORT", "8080", 8080),
        ("MXCHECK_SERVER__DEADLINE", "2.5", 2.5),
        ("MXCHECK_SERVER__DEADLINE", "null", None),
        ("MXCHECK_IMPROVEMENTS__EXPIRE_DNS_FAIL", "~", None),
        ("MXCHECK_CACHE__URL", "redis://127.0.0.1/1", "redis://127.0.0.1/1"),
        ("MXCHECK_DNS__NAMESERVERS", "[127.0.0.1, '127.0.0.1:5353']", ("127.0.0.1", "127.0.0.1:5353")),
        ("MXCHECK_DNS__NAMESERVERS", "[]", ()),
        ("MXCHECK_MX_CHECK__VERIFY_GREETING", "true", True),
        ("MXCHECK_MX_CHECK__BAD_MXS", '["*.example 3", /etc/bad]', ("*.example 3", "/etc/bad")),
        ("MXCHECK_MX_CHECK__BAD_MXS", "/etc/bad", "/etc/bad"),
        ("MXCHECK_MX_CHECK__REJECT_NULL_MX_MESSAGE", "# 5.1.10 no: mail", "# 5.1.10 no: mail"),
        ("mxcheck_server__port", "1", 11340),
    ],
)
def test_value_from_the_environment(name: str, text: str, value: object) -> None:
    section, _, key = name.upper().removeprefix("MXCHECK_").lower().partition("__")
    assert getattr(getattr(load(**{name: text}), section), key) == value


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["bare", "lf", "crlf"])
def test_secret_is_read_from_a_file_without_its_line_end(tmp_path: Path, end: str) -> None:
    secret = tmp_path / "token"
    secret.write_bytes(b" geheim [1] " + end.encode())
    token = load(MXCHECK_SERVER__AUTH_TOKEN_FILE=str(secret)).server.auth_token
    assert token is not None
    assert token.get_secret_value() == " geheim [1] "


def test_the_admin_token_may_be_in_a_file_too(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("sesame\n")
    token = load(MXCHECK_SERVER__ADMIN_TOKEN_FILE=str(secret)).server.admin_token
    assert token is not None
    assert token.get_secret_value() == "sesame"


def test_file_of_a_secret_that_is_missing_is_named() -> None:
    (problem,) = problems(MXCHECK_SERVER__AUTH_TOKEN_FILE="/nonexistent/token")
    assert problem.startswith("MXCHECK_SERVER__AUTH_TOKEN_FILE: ")
    assert "/nonexistent/token: No such file" in problem


def test_file_of_a_secret_that_is_not_text_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_bytes(b"\xff")
    (problem,) = problems(MXCHECK_SERVER__AUTH_TOKEN_FILE=str(secret))
    assert problem.startswith("MXCHECK_SERVER__AUTH_TOKEN_FILE: ")
    assert "server.auth_token" in problem or str(secret) in problem


def test_secret_given_both_ways_is_an_error(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("a")
    (problem,) = problems(MXCHECK_SERVER__AUTH_TOKEN_FILE=str(secret), MXCHECK_SERVER__AUTH_TOKEN="b")
    assert problem.startswith("MXCHECK_SERVER__AUTH_TOKEN_FILE: server.auth_token")
    assert "is set twice" in problem
    assert "MXCHECK_SERVER__AUTH_TOKEN" in problem.partition("twice")[2]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("MXCHECK_SERVER__PROT", "1", "did you mean port?"),
        ("MXCHECK_SERVER__", "1", "unknown setting"),
        ("MXCHECK_SERVR__PORT", "1", "did you mean server?"),
        ("MXCHECK_FOO__BAR", "1", "unknown setting"),
        ("MXCHECK_SERVER__PROT_FILE", "/dev/null", "did you mean port?"),
        ("MXCHECK_SERVER__PORT", "eighty", "valid integer"),
        ("MXCHECK_SERVER__PORT", "", "valid integer"),
        ("MXCHECK_DNS__NAMESERVERS", "[127.0.0.1", "is not a YAML list"),
        ("MXCHECK_DNS__NAMESERVERS", "[127.0.0.1, nonsense]", "'nonsense'"),
        ("MXCHECK_DNS__NAMESERVERS", "[!tag x]", "is not a YAML list"),
        ("MXCHECK_DNS__NAMESERVERS", "[!!bool x]", "is not a YAML list"),
        ("MXCHECK_DNS__NAMESERVERS", "[" * 5000, "is not a YAML list"),
        ("MXCHECK_PRESET", "strict", "'recommended' or 'reference'"),
        ("MXCHECK_PRESET", "[reference]", "preset"),
        ("MXCHECK_PRESET__X", "1", "preset"),
        ("MXCHECK_MX_CHECK__TIMEOUT", "-1", "greater than 0"),
    ],
)
def test_problem_names_the_variable(name: str, text: str, words: str) -> None:
    (problem,) = problems(**{name: text})
    assert problem.startswith(f"{name}: ")
    assert words in problem


def test_variables_that_only_share_the_prefix_are_nobodys_business() -> None:
    settings = load(MXCHECK_REFERENCE="/x", MXCHECK_HOME="/y", XMXCHECK_SERVER__PORT="1", PATH="/bin")
    assert settings == Settings()


def test_section_that_is_no_section_in_the_file_gives_way_to_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("server:\n")
    assert config.load(file, {"MXCHECK_SERVER__PORT": "7"}).settings.server.port == 7


def test_deprecated_setting_in_the_environment_is_mapped_too() -> None:
    loaded = config.load(None, {"MXCHECK_MX_CHECK__TIMEOUT": "3"})
    assert loaded.settings.mx_check.connect_timeout == 3
    assert len(loaded.warnings) == 1


def reference_settings() -> dict[str, object]:
    """Return the `settings` table of the reference: literals only, comments apart."""
    here = Path(__file__).resolve().parents[2]
    path = Path(os.environ.get("MXCHECK_REFERENCE") or here.parent / "shared" / "reference" / "mx_check.lua")
    if not path.is_file():
        pytest.skip(f"the reference is not at {path}; set MXCHECK_REFERENCE")
    table = re.search(r"^local settings = \{\n(.*?)^\}", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert table is not None
    values: dict[str, object] = {}
    for line in table[1].splitlines():
        entry = re.fullmatch(r"\s*(\w+) = ('[^']*'|true|false|[0-9.]+),\s*(?:--.*)?", line)
        if entry is None:
            assert not line.strip() or line.lstrip().startswith("--"), line
            continue
        name, text = entry.groups()
        if text in ("true", "false"):
            values[name] = text == "true"
        else:
            values[name] = text.strip("'") if text.startswith("'") else float(text)
    return values


def test_every_setting_of_the_reference_is_there_with_the_same_default() -> None:
    expected = reference_settings()
    assert len(expected) > 60
    fields = {field.name: field.default for field in dataclasses.fields(MxCheckSettings)}
    assert {name: fields.get(name, "missing") for name in expected} == expected
    assert {name for name in fields if type(fields[name]) is bool} == {
        name for name, value in expected.items() if type(value) is bool
    }


def test_settings_the_reference_does_not_have_are_known() -> None:
    fields = {field.name for field in dataclasses.fields(MxCheckSettings)}
    assert fields - reference_settings().keys() == OWN_SETTINGS


def test_local_addrs_are_rspamds_default_list() -> None:
    """fd00::/8 and not fc00::/8, no carrier-grade NAT."""
    assert Settings().mx_check.local_addrs == RSPAMD_LOCAL_ADDRS
    assert set(RSPAMD_LOCAL_ADDRS) == {
        "192.168.0.0/16",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "fd00::/8",
        "169.254.0.0/16",
        "fe80::/10",
    }
