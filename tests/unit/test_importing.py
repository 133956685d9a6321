"""rspamd's settings turned into ours: sections, values, maps, Redis (source: the reference, and rspamd's lualib)."""

import json
from typing import Any

import pytest
import yaml

from mxcheck_service import config
from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.importing.convert import convert

SERVERS = {"servers": "127.0.0.1"}


def imported(*sections: Any) -> tuple[dict[str, Any], str]:
    """Return the settings for what rspamadm printed, which must load, and their text less line breaks in comments."""
    text, _ = convert("\n".join(json.dumps(section) for section in sections))
    tree = yaml.safe_load(text)
    config.parse(tree)
    return tree, " ".join(text.replace("#", "").split())


def mx_check(**settings: Any) -> Any:
    return imported(settings)[0].get("mx_check", {})


def cache(*sections: Any) -> Any:
    return imported(*sections)[0].get("cache", {})


class TestSections:
    def test_several_are_read_as_one_and_the_later_wins(self) -> None:
        expected = {"expire": 5, "port": 26}
        assert imported({"expire": 9, "port": 26}, {"expire": 5})[0]["mx_check"] == expected
        assert imported([{"expire": 9, "port": 26}, {"expire": 5}])[0]["mx_check"] == expected
        assert imported({"mx_check": [{"expire": 9, "port": 26}, {"expire": 5}], "dkim": {}})[0]["mx_check"] == expected

    def test_a_whole_configuration(self) -> None:
        servers = "master-slave:127.0.0.1:5353:10,[::1]:53,::1,192.0.2.1"
        options = {
            "local_addrs": ["192.0.2.0/24"],
            "dns": {"timeout": 2, "retransmits": "4", "nameserver": servers},
        }
        tree, _ = imported({"mx_check": {}, "redis": SERVERS, "options": options, "worker": {}})
        assert tree == {
            "preset": "reference",
            "cache": {"url": "redis://127.0.0.1:6379/0"},
            "dns": {"nameservers": ["127.0.0.1:5353", "[::1]:53", "::1", "192.0.2.1"], "timeout": 2, "tries": 4},
            "mx_check": {"local_addrs": ["192.0.2.0/24"]},
        }

    def test_files_of_options_are_told(self) -> None:
        options = {"local_addrs": "/etc/rspamd/local.map", "dns": {"nameserver": "/etc/resolv.conf"}}
        tree, text = imported({"mx_check": {}, "options": options})
        assert tree == {"preset": "reference"}
        assert "list the networks" in text
        assert "leave it empty" in text

    def test_defaults_are_left_out(self) -> None:
        """Every setting of the reference with its default says nothing at all."""
        own = {"local_addrs", "symbol_mx_probe_unavailable", "symbol_mx_ratelimited"}
        given = {name: getattr(MxCheckSettings(), name) for name in MxCheckSettings.__slots__ if name not in own}
        tree, _ = imported(given)
        assert tree == {"preset": "reference"}


class TestValues:
    @pytest.mark.parametrize(
        ("written", "seconds"),
        [
            *(
                (90, 90),
                (90.0, 90),
                ("90", 90),
                ("90s", 90),
                ("2min", 120),
                ("2m", 120),
                ("1.5h", 5400),
                ("1d", 86_400),
            ),
            *(("2w", 1_209_600), ("1y", 31_536_000), ("1500ms", 2), (0.5, 1)),
        ],
    )
    def test_times(self, written: Any, seconds: int) -> None:
        assert mx_check(expire_timeout=written)["expire_timeout"] == seconds

    @pytest.mark.parametrize(("written", "seconds"), [("500ms", 0.5), (0.25, 0.25), ("3s", 3), ("1min", 60)])
    def test_timeouts_may_be_fractions(self, written: Any, seconds: float) -> None:
        assert mx_check(connect_timeout=written)["connect_timeout"] == seconds

    @pytest.mark.parametrize("written", [False, "false", "no", "OFF", "0", 0])
    def test_truth(self, written: Any) -> None:
        assert mx_check(check_from=written)["check_from"] is False
        assert mx_check(check_from=written, reject_null_mx="Yes") == {"check_from": False, "reject_null_mx": True}
        said = "rspamd took" in imported({"check_from": written})[1]
        assert said is (written is not False), "in Lua everything else is true"

    @pytest.mark.parametrize(("written", "number"), [("5", 5), (7.0, 7), ("1k", 1000)])
    def test_numbers(self, written: Any, number: int) -> None:
        assert mx_check(max_mx_a_records=written)["max_mx_a_records"] == number

    def test_texts(self) -> None:
        assert mx_check(key_prefix=5, symbol_mx_null="NULL\x1b\n\u2028ü😀") == {
            "key_prefix": "5",
            "symbol_mx_null": "NULL\x1b\n\u2028ü😀",
        }

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            *(
                ("expire", "soon"),
                ("expire", 0),
                ("expire", True),
                ("expire", [1]),
                ("expire", 1e999),
                ("expire", 10**400),
                ("expire", "9" * 400),
                ("port", "70000"),
            ),
            *(("check_from", "perhaps"), ("key_prefix", ""), ("key_prefix", ["a"]), ("connect_timeout", "-1s")),
            *(("local_addrs", ["here"]), ("local_addrs", 5), ("nonsense", "x\n  preset: recommended")),
        ],
    )
    def test_what_cannot_be_taken_over_becomes_a_comment(self, setting: str, value: Any) -> None:
        text, left_out = convert(json.dumps({"read_timeout": 6, setting: value}).replace("Infinity", "1e999"))
        assert yaml.safe_load(text) == {"preset": "reference", "mx_check": {"read_timeout": 6.0}}
        assert f"# {setting}: " in text
        assert left_out == 2, "and Redis"

    @pytest.mark.parametrize(
        ("odd", "why"),
        [({"password": "\ud800"}, "characters that nothing"), ({"ssl": "perhaps"}, "is neither true nor false")],
    )
    def test_a_redis_that_cannot_be_named_is_left_out(self, odd: dict[str, Any], why: str) -> None:
        tree, text = imported({"mx_check": {"port": 26}, "redis": {"servers": "127.0.0.1"} | odd})
        assert tree == {"preset": "reference", "mx_check": {"port": 26}}
        assert why in text

    def test_what_rspamd_would_not_run_with_becomes_a_comment(self) -> None:
        tree, text = imported({"probe_ipv4": False, "port": 26})
        assert tree["mx_check"] == {"port": 26}
        assert "nothing could be probed" in text

    def test_hostile_names_stay_in_their_comment(self) -> None:
        text, _ = convert(json.dumps({"a\npreset: recommended\x1b": 1, "port": 26}))
        assert yaml.safe_load(text) == {"preset": "reference", "mx_check": {"port": 26}}
        assert "\x1b" not in text


class TestNames:
    def test_old_names_stand_in_for_new_ones_that_are_not_there(self) -> None:
        assert mx_check(timeout=3, wait_for_greeting=True) == {"connect_timeout": 3.0, "verify_greeting": True}
        tree, text = imported({"timeout": 3, "connect_timeout": 4})
        assert tree["mx_check"] == {"connect_timeout": 4.0}
        assert "it is the old name of connect_timeout" in text

    def test_a_plugin_that_is_off(self) -> None:
        assert "switched off" in imported({"enabled": False})[1]
        assert "enabled" not in imported({"enabled": "yes"})[1]

    def test_rspamd_3_leaves_its_mark_in_rspamd_4(self) -> None:
        """A leftover of the old version does not make a configuration an old one."""
        tree, text = imported({"symbol_no_mx": "MX_MISSING", "symbol_mx_none": "MX_NONE"})
        assert tree == {"preset": "reference"}
        assert "symbol_no_mx" in text

    def test_rspamd_3_tried_one_address_of_each_host(self) -> None:
        tree, _ = imported({"symbol_no_mx": "MX_MISSING", "max_mx_a_records": "2"})
        assert tree["improvements"] == {"probe_attempts": 2}
        assert imported({"symbol_no_mx": "X", "max_mx_a_records": "lots"})[0]["improvements"] == {"probe_attempts": 5}


class TestMaps:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("/a.map", "/a.map"),
            ("file:///a.map", "file:///a.map"),
            ("glob;/a.map", "/a.map"),
            ("fallback+file:///a.map", "file:///a.map"),
            (["/a.map", "/b.map"], ["/a.map", "/b.map"]),
            ("/a.map.zst", "/a.map.zst"),
            ("https://maps.example/x", "https://maps.example/x"),
            (["/a.map", "fallback+http://maps.example/x"], ["/a.map", "http://maps.example/x"]),
            (["*.a.example", "b.example 2"], ["*.a.example", "b.example 2"]),
            ({"url": "/a.map", "name": "x", "timeout": 5}, "/a.map"),
            ({"urls": ["/a.map", "fallback+/b.map"]}, ["/a.map", "/b.map"]),
            ({"upstreams": "static", "data": "a.example\n\nb.example 3\n"}, ["a.example", "b.example 3"]),
            ({"url": ["static", "/a.map"], "data": ["a.example"]}, ["a.example", "/a.map"]),
        ],
    )
    def test_forms(self, written: Any, value: Any) -> None:
        assert mx_check(bad_mxs=written)["bad_mxs"] == value

    @pytest.mark.parametrize(
        ("written", "why"),
        [
            ("key=abc+http://maps.example/x", "signatures of maps"),
            ("glob;fallback+sign+https://maps.example/x", "signatures of maps"),
            ("*.bad.example", "entries go into a list"),
            ("regexp;/a.map", "maps of type regexp"),
            ({"url": "re;/a.map"}, "maps of type re"),
            ({"external": True, "backend": "http://127.0.0.1/"}, "over HTTP for each key"),
            ({}, "the map is empty"),
            ([], "the map is empty"),
        ],
    )
    def test_without_counterpart(self, written: Any, why: str) -> None:
        tree, text = imported({"bad_mxs": written})
        assert tree == {"preset": "reference"}
        assert why in text

    def test_what_can_be_had_of_a_map_is_taken(self) -> None:
        tree, text = imported({"bad_mxs": ["/a.map", "sign+https://maps.example/x"]})
        assert tree["mx_check"]["bad_mxs"] == "/a.map"
        assert 'bad_mxs: ["https://maps.example/x"] this part is missing' in text

    def test_a_list_that_begins_with_an_address_has_no_entries(self) -> None:
        tree, text = imported({"bad_mxs": ["/a.map", "b.example"]})
        assert tree["mx_check"]["bad_mxs"] == "/a.map"
        assert 'bad_mxs: ["b.example"]' in text

    def test_radix_maps(self) -> None:
        assert mx_check(bad_ips="radix;/a.map")["bad_ips"] == "/a.map"
        assert "maps of type set" in imported({"bad_ips": "set;/a.map"})[1]

    def test_a_map_that_is_off(self) -> None:
        assert imported({"bad_mxs": False, "bad_ips": None})[0] == {"preset": "reference"}


class TestRedis:
    @pytest.mark.parametrize(
        ("options", "url"),
        [
            (SERVERS, "redis://127.0.0.1:6379/0"),
            ({"server": "redis.example:6380"}, "redis://redis.example:6380/0"),
            ({"servers": ["a:1", "b:2"]}, "redis://a:1/0"),
            ({"servers": "master-slave:a:1:10, b:2"}, "redis://a:1/0"),
            ({"read_servers": "b:2,c:3", "write_servers": "a:1"}, "redis://a:1/0"),
            ({"servers": "[::1]:6380"}, "redis://[::1]:6380/0"),
            ({"servers": "::1"}, "redis://[::1]:6379/0"),
            ({"servers": "/run/redis.sock", "db": 2}, "unix:///run/redis.sock?db=2"),
            (SERVERS | {"dbname": "3", "password": "a b/@:"}, "redis://:a%20b%2F%40%3A@127.0.0.1:6379/3"),
            (SERVERS | {"username": "u", "password": "p"}, "redis://u:p@127.0.0.1:6379/0"),
            (SERVERS | {"ssl": True, "ssl_ca": "/ca.pem"}, "rediss://127.0.0.1:6379/0?ssl_ca_certs=%2Fca.pem"),
            (
                SERVERS | {"ssl": True, "no_ssl_verify": True},
                "rediss://127.0.0.1:6379/0?ssl_cert_reqs=none&ssl_check_hostname=false",
            ),
            (
                SERVERS | {"sentinels": "s1,s2:26379", "sentinel_masters_pattern": "^my%-master$", "password": "p"},
                "redis+sentinel://:p@s1:5000,s2:26379/my-master/0",
            ),
            (
                SERVERS | {"sentinels": ["s"], "sentinel_masters_pattern": "m", "sentinel_password": "p w", "db": 1},
                "redis+sentinel://s:5000/m/1?sentinel_password=p+w",
            ),
            (SERVERS | {"sentinels": "s1:26379", "sentinel_masters_pattern": "my.*"}, "redis://127.0.0.1:6379/0"),
        ],
    )
    def test_urls(self, options: dict[str, Any], url: str) -> None:
        assert cache({"port": 25} | options)["url"] == url, "in the section itself"
        assert cache({"redis": options})["url"] == url, "in a section within"
        assert cache({"port": 25}, options)["url"] == url, "in rspamd's section redis"
        assert cache({"mx_check": {}, "redis": {"mx_check": options, "servers": "other"}})["url"] == url

    def test_the_inner_place_wins_and_inherits(self) -> None:
        shared = {"servers": "other:1", "password": "p", "db": 4, "timeout": "250ms"}
        own = {"timeout": 9, "servers": "mine:2", "db": 5}
        assert cache(own, shared) == {"url": "redis://:p@mine:2/5", "timeout": 0.25}
        assert mx_check(**own) == {"connect_timeout": 9.0}, "the timeout is the probe's"

    def test_servers_that_are_not_used_are_told(self) -> None:
        servers = {"write_servers": "a:1,b:2", "read_servers": "c:3"}
        assert "rspamd also used b:2, c:3" in imported({"port": 25}, servers)[1]

    def test_sentinels_without_the_name_of_a_service(self) -> None:
        text = imported(SERVERS | {"port": 25, "sentinels": "s1"})[1]
        assert "redis+sentinel://s1:5000/SERVICE/0" in text

    def test_none_at_all_is_told(self) -> None:
        tree, text = imported({"port": 25})
        assert "cache" not in tree
        assert "rspamadm configdump -j mx_check redis" in text

    def test_a_password_stands_in_the_url_alone(self) -> None:
        tree, text = imported({"port": 25, "password": "hunter2", **SERVERS})
        assert "hunter2" in tree["cache"]["url"]
        assert text.count("hunter2") == 1
        assert "let nobody but the service read it" in text
        assert "hunter2" not in imported({"port": 25, "password": "hunter2"})[1]
        bad, _ = convert(json.dumps({"port": 26, "password": "hunter2", "servers": "a", "db": "x", "ssl": "yes"}))
        assert "hunter2" not in bad.replace(":hunter2@", "")


def test_comments_fit_a_window() -> None:
    servers = ",".join(f"redis-{n}.example:6379" for n in range(20))
    text, _ = convert(json.dumps({"port": 26, "servers": servers, "password": "x"}))
    assert "000a" not in text, "each remark begins a line"
    comments = [line for line in text.splitlines() if "#" in line]
    assert sum("redis-" in line for line in comments) > 3
    assert max(map(len, comments)) <= 120
