"""Settings out of a file and the environment (CONTRACT: Configuration)."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from mxcheck_service import config
from mxcheck_service.config import ConfigError, Loaded
from mxcheck_service.core.settings import RECOMMENDED, REFERENCE
from mxcheck_service.settings import Settings

SECRET = "hunter2-und-mehr"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def load(file: Path, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    file.write_text(text, encoding="utf-8")
    return config.load(file, environ or {})


def problems(file: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the problems of a file that is wrong, with its path cut to its name."""
    with pytest.raises(ConfigError) as caught:
        load(file, text, environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.replace(str(file), file.name) for problem in caught.value.problems]


def test_without_file_and_environment_everything_has_its_default() -> None:
    """CONTRACT: 127.0.0.1:11340, in-process cache, the system's resolvers, preset recommended, deadline 5."""
    settings = config.load(None, {}).settings
    assert settings == Settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 11340)
    assert settings.cache.url == "memory://"
    assert settings.dns.nameservers == ()
    assert settings.preset == "recommended"
    assert settings.deadline == 5.0


@pytest.mark.parametrize("text", ["", "# only a comment\n", "mx_check:\nserver:\n"])
def test_empty_file_and_empty_sections_change_nothing(file: Path, text: str) -> None:
    assert load(file, text) == Loaded(Settings())


def test_each_section_is_read(file: Path) -> None:
    text = """
        server: {host: "::", port: 8080, workers: 1}
        cache: {url: "redis://127.0.0.1:6380/2", timeout: 0.25}
        dns: {nameservers: ["127.0.0.1", "127.0.0.1:5353", "[::1]:53"], tries: 1}
        mx_check: {verify_greeting: true, expire: 60, exclude_domains: ["*.example"], bad_ips: /etc/bad_ips}
        improvements: {probe_attempts: 5}
    """
    settings = load(file, text).settings
    assert (settings.server.host, settings.server.port) == ("::", 8080)
    assert (settings.cache.url, settings.cache.timeout) == ("redis://127.0.0.1:6380/2", 0.25)
    assert settings.dns.nameservers == ("127.0.0.1", "127.0.0.1:5353", "[::1]:53")
    assert (settings.mx_check.verify_greeting, settings.mx_check.expire) == (True, 60)
    assert (settings.mx_check.exclude_domains, settings.mx_check.bad_ips) == (("*.example",), "/etc/bad_ips")
    assert settings.improvements.probe_attempts == 5
    assert settings.improvements.wait_for_inflight is True


def test_all_errors_are_reported_at_once_each_with_its_line(file: Path) -> None:
    text = """\
server:
  prot: 80
  port: 70000
cache:
  url: http://127.0.0.1
dns:
  nameservers: [ns.example.com]
mx_check:
  connect_timeout: soon
  expire: 0
  probe_ipv4: false
  local_addrs: [10.0.0.0/99]
improvements:
  probe_attempts: 0
nonsense: 1
"""
    found = problems(file, text)
    places = [" ".join(problem.split()[:2]) for problem in found]
    assert sorted(places) == [
        "config.yaml:10: mx_check.expire:",
        "config.yaml:11: mx_check.probe_ipv4:",
        "config.yaml:12: mx_check.local_addrs:",
        "config.yaml:14: improvements.probe_attempts:",
        "config.yaml:15: nonsense:",
        "config.yaml:2: server.prot:",
        "config.yaml:3: server.port:",
        "config.yaml:5: cache.url:",
        "config.yaml:7: dns.nameservers:",
        "config.yaml:9: mx_check.connect_timeout:",
    ]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("server: {prot: 1}", "port"),
        ("server: {hots: x}", "host"),
        ("mx_check: {greylist_invald: true}", "greylist_invalid"),
        ("mx_check: {max_mx_records: 2}", "max_mx_a_records"),
        ("improvements: {probe_attempt: 2}", "probe_attempts"),
        ("mxcheck: {}", "mx_check"),
        ("presets: reference", "preset"),
    ],
)
def test_unknown_setting_names_the_nearest_one(file: Path, text: str, nearest: str) -> None:
    (problem,) = problems(file, text)
    assert problem.startswith("config.yaml:1: ")
    assert problem.endswith(f"unknown setting; did you mean {nearest}?")


def test_unknown_setting_that_is_like_nothing_gets_no_proposal(file: Path) -> None:
    assert problems(file, "server: {zzzzzz: 1}") == ["config.yaml:1: server.zzzzzz: unknown setting"]


@pytest.mark.parametrize("key", ["1", "null", "1.5", "true", "2020-01-01"])
@pytest.mark.parametrize("text", ["{key}: 1", "server: {{{key}: 1}}"], ids=["section", "setting"])
def test_key_that_is_no_text_is_unknown_too(file: Path, key: str, text: str) -> None:
    (problem,) = problems(file, text.format(key=key))
    assert "unknown setting" in problem


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        pytest.param("server: [", "config.yaml: is not YAML: ", id="not-yaml"),
        pytest.param("a: 1\n b: 2", "config.yaml: is not YAML: ", id="bad-indentation"),
        pytest.param("server: {}\n---\nserver: {}", "config.yaml: is not YAML: ", id="two-documents"),
        pytest.param("server: !secret x", "config.yaml: is not YAML: ", id="unknown-tag"),
        pytest.param("server: !!bool x", "config.yaml: is not YAML: ", id="tag-that-does-not-fit"),
        pytest.param("server: !!timestamp x", "config.yaml: is not YAML: ", id="date-that-is-none"),
        pytest.param("server: !!int ''", "config.yaml: is not YAML: ", id="number-of-nothing"),
        pytest.param("[" * 5000, "config.yaml: is not YAML: ", id="nested-without-end"),
        pytest.param("server: {host: 2020-99-99}", "config.yaml", id="impossible-date"),
        pytest.param("? [a, b]\n: 1", "config.yaml", id="list-as-key"),
        pytest.param("? {a: b}\n: 1", "config.yaml", id="mapping-as-key"),
        pytest.param("- server", "config.yaml: must be a mapping of sections", id="list"),
        pytest.param("server", "config.yaml: must be a mapping of sections", id="text"),
        pytest.param("server: 5", "config.yaml:1: server: must be a section", id="section-is-a-number"),
        pytest.param("server: [port]", "config.yaml:1: server: must be a section", id="section-is-a-list"),
        pytest.param("preset: [reference]", "config.yaml:1: preset: ", id="preset-is-a-list"),
        pytest.param("preset: {a: b}", "config.yaml:1: preset: ", id="preset-is-a-mapping"),
        pytest.param("preset: strict", "config.yaml:1: preset: ", id="unknown-preset"),
    ],
)
def test_file_of_another_shape_is_one_plain_error(file: Path, text: str, beginning: str) -> None:
    (problem,) = problems(file, text)
    assert problem.startswith(beginning)
    assert "\n" not in problem


def test_file_that_is_not_utf_8_is_one_plain_error(file: Path) -> None:
    file.write_bytes(b"server: {host: \xff}")
    with pytest.raises(ConfigError, match="is not YAML"):
        config.load(file, {})


def test_missing_file_and_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: No such file"):
        config.load(tmp_path / "missing.yaml", {})
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        config.load(tmp_path, {})


def test_setting_given_twice_names_both_lines(file: Path) -> None:
    text = "server:\n  port: 1\n  host: a\n  port: 2\nserver:\n  host: b\n"
    assert problems(file, text) == [
        "config.yaml:4: server.port: is set twice, first at config.yaml:2",
        "config.yaml:5: server: is set twice, first at config.yaml:1",
        "config.yaml:6: server.host: is set twice, first at config.yaml:3",
    ]


def test_faulty_values_do_not_hide_other_problems_nor_bring_follow_up_ones(file: Path) -> None:
    """A check across settings is left out when one of them is faulty already."""
    found = problems(file, "mx_check: {probe_ipv4: perhaps, max_mx_a_records: 1, probe_ipv6: true, expire: 0}")
    assert sorted(problem.split(":")[2].strip() for problem in found) == ["mx_check.expire", "mx_check.probe_ipv4"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("probe_ipv4: false", ["probe_ipv4", "probe_ipv6"], id="no-family"),
        pytest.param(
            "check_from: false, check_mime_from: false, check_reply_to: false",
            ["check_from", "nothing"],
            id="no-source",
        ),
        pytest.param("probe_ipv6: true, max_mx_a_records: 1", ["max_mx_a_records", "at least 2"], id="no-room"),
        pytest.param("local_addrs: [here]", ["local_addrs", "'here'"], id="no-network"),
    ],
)
def test_settings_that_do_not_go_together_are_errors(file: Path, text: str, words: list[str]) -> None:
    (problem,) = problems(file, f"mx_check: {{{text}}}")
    assert all(word in problem for word in words)


@pytest.mark.parametrize(
    "server", ["ns.example.com", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "::1%eth0", "", ":53"]
)
def test_nameserver_must_be_an_address_with_or_without_port(file: Path, server: str) -> None:
    (problem,) = problems(file, f"dns: {{nameservers: ['{server}']}}")
    assert f"dns.nameservers: '{server}'" in problem


@pytest.mark.parametrize("server", ["127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353", "2001:db8::1"])
def test_nameserver_forms(file: Path, server: str) -> None:
    assert load(file, f"dns: {{nameservers: ['{server}']}}").settings.dns.nameservers == (server,)


@pytest.mark.parametrize("old", ["timeout: 3.5", "wait_for_greeting: true"])
def test_deprecated_setting_is_taken_for_the_new_one_with_a_warning(file: Path, old: str) -> None:
    loaded = load(file, f"mx_check: {{{old}}}")
    name = old.split(":")[0]
    new = {"timeout": "connect_timeout", "wait_for_greeting": "verify_greeting"}[name]
    assert getattr(loaded.settings.mx_check, new) == {"timeout": 3.5, "wait_for_greeting": True}[name]
    (warning,) = loaded.warnings
    assert f"mx_check.{name} is deprecated" in warning
    assert new in warning


def test_new_name_wins_over_the_deprecated_one(file: Path) -> None:
    loaded = load(file, "mx_check: {timeout: 3.5, connect_timeout: 1.5}")
    assert loaded.settings.mx_check.connect_timeout == 1.5
    (warning,) = loaded.warnings
    assert "mx_check.timeout" in warning


def test_fault_in_a_deprecated_setting_is_told_at_its_own_line(file: Path) -> None:
    (problem,) = problems(file, "mx_check:\n  expire: 5\n  timeout: -1\n")
    assert problem.startswith("config.yaml:3: ")


def test_preset_sets_the_defaults_of_improvements_and_nothing_else(file: Path) -> None:
    reference = load(file, "preset: reference").settings
    assert reference.improvements == REFERENCE
    assert reference.model_copy(update={"preset": "recommended", "improvements": RECOMMENDED}) == Settings()
    own = load(file, "preset: reference\nimprovements: {probe_attempts: 2, expire_dns_fail: 5}").settings.improvements
    assert (own.probe_attempts, own.expire_dns_fail, own.wait_for_inflight) == (2, 5, False)


@pytest.mark.parametrize(
    ("text", "deadline"),
    [
        pytest.param("", 5.0, id="recommended"),
        pytest.param("server: {deadline: 3}", 3.0, id="own"),
        pytest.param("preset: reference\nserver: {deadline: 3}", 3.0, id="own-with-reference"),
        pytest.param("preset: reference", 2 + 5 + 1 * 2 + 1, id="the-references-budget"),
        pytest.param(
            "preset: reference\nmx_check: {connect_timeout: 1, read_timeout: 2}\n"
            "dns: {timeout: 0.5, tries: 3}\ncache: {timeout: 0.25}",
            1 + 2 + 1.5 + 0.25,
            id="connect-read-dns-redis",
        ),
    ],
)
def test_deadline(file: Path, text: str, deadline: float) -> None:
    """CONTRACT: 5; with preset `reference` connect + read + DNS + Redis."""
    assert load(file, text).settings.deadline == deadline


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:SECRET@h:1/0", "redis://:**********@h:1/0"),
        ("redis://user:SECRET@h/0", "redis://user:**********@h/0"),
        ("rediss://user:p@SECRET@h/0", "rediss://user:**********@h/0"),
        ("redis://user@h/0", "redis://user@h/0"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("memory://", "memory://"),
        ("unix:///run/redis.sock?db=0", "unix:///run/redis.sock?db=0"),
    ],
)
def test_password_of_a_url_is_masked(url: str, shown: str) -> None:
    assert config.mask_url(url.replace("SECRET", SECRET)) == shown


SECRETS = [
    pytest.param(f"server: {{auth_token: {SECRET}}}", id="token"),
    pytest.param(f"server: {{admin_token: {SECRET}}}", id="admin-token"),
    pytest.param(f"mx_check: {{bad_ips: 'https://me:{SECRET}@h/map'}}", id="password-of-a-map"),
    pytest.param(f"mx_check: {{bad_mxs: [a, 'http://me:{SECRET}@h/map']}}", id="password-of-a-map-in-a-list"),
    pytest.param(f"cache: {{url: 'redis://:{SECRET}@h/0'}}", id="password-in-the-url"),
    pytest.param(f"cache: {{url: 'unix:///s.sock?db=0&password={SECRET}'}}", id="password-in-the-query"),
    pytest.param(f"cache: {{url: 'redis://h/0?password={SECRET}&username=u'}}", id="password-first-in-the-query"),
    pytest.param(f"cache: {{url: 'redis+cluster://:{SECRET}@h:1,i:2'}}", id="password-of-a-cluster"),
    pytest.param(f"cache: {{url: 'redis+sentinel://u:{SECRET}@h:1,i:2/s/0'}}", id="password-under-sentinels"),
    pytest.param(f"cache: {{url: 'redis+sentinel://h/s?sentinel_password={SECRET}'}}", id="password-of-the-sentinels"),
]


@pytest.mark.parametrize("text", SECRETS)
def test_dump_masks_secrets(file: Path, text: str) -> None:
    assert SECRET not in config.dump(load(file, text).settings)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"cache: {{url: 'redi://:{SECRET}@h/0'}}", id="scheme-misspelt"),
        pytest.param(f"cache: {{url: 'redi://h/0?password={SECRET}'}}", id="scheme-misspelt-password-in-the-query"),
        pytest.param(f"cache: {{url: 'redis+cluster://:{SECRET}@h:1,i/2'}}", id="cluster-with-a-database"),
        pytest.param(f"cache: {{url: 'redis+sentinel://h?sentinel_password={SECRET}'}}", id="no-service"),
        pytest.param(f"server: {{auth_token: ['{SECRET}']}}", id="token-as-a-list"),
        pytest.param(f"server: {{admin_token: ['{SECRET}']}}", id="admin-token-as-a-list"),
    ],
)
def test_error_messages_do_not_show_secrets(file: Path, text: str) -> None:
    assert all(SECRET not in problem for problem in problems(file, text))


def test_tree_can_be_checked_without_a_file() -> None:
    assert config.parse({"server": {"port": 1}}).settings.server.port == 1
    with pytest.raises(ConfigError, match=r"^server\.prot: unknown setting; did you mean port\?$"):
        config.parse({"server": {"prot": 1}})


def test_dump_is_a_file_that_gives_the_same_settings(file: Path) -> None:
    text = "mx_check: {bad_mxs: [a, b]}\npreset: reference\ndns: {nameservers: ['::1']}"
    settings = load(file, text).settings
    dumped = config.dump(settings)
    assert yaml.safe_load(dumped)["server"]["deadline"] == settings.deadline
    again = load(file, dumped).settings
    assert again.server.deadline == settings.deadline
    assert again.model_copy(update={"server": settings.server}) == settings


def test_several_workers_need_a_cache_that_they_share(file: Path) -> None:
    (problem,) = problems(file, "server: {workers: 2}")
    assert problem.startswith("config.yaml:1: server.workers: 2 workers need a cache that they share")
    assert "cache.url" in problem
    assert load(file, "server: {workers: 2}\ncache: {url: redis://127.0.0.1/0}").settings.server.workers == 2


def test_what_is_wrong_with_the_cache_is_told_once(file: Path) -> None:
    """A faulty URL has its default in the cross-checks, with which several workers would be a second complaint."""
    (problem,) = problems(file, "server: {workers: 2}\ncache: {url: 'http://nowhere'}")
    assert problem.startswith("config.yaml:2: cache.url")


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_known_to_whoever_masks_them(file: Path, text: str) -> None:
    assert any(SECRET in secret for secret in config.secrets(load(file, text).settings))
