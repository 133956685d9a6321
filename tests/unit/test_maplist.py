"""Map text, globs, radix maps and weight multipliers, as the engine's own maps have them."""

import pytest

from mxcheck_service.core.maplist import GlobMap, MapEntry, MapHit, Maps, RadixMap, RadixPart, compile_map, parse_map
from mxcheck_service.core.maptable import DamagedImage, Row, Table, build


def keys_and_values(text: str) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in parse_map(text, "m")]


def glob(text: str) -> GlobMap:
    return GlobMap.of(parse_map(text, "m"))


def radix(text: str) -> RadixMap:
    return RadixMap.of(parse_map(text, "m"))


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("\n \n\t\n", [], id="blank-lines"),
        pytest.param("# comment", [], id="comment"),
        pytest.param("   # comment", [], id="comment-after-blanks"),
        pytest.param("key", [("key", "")], id="key"),
        pytest.param("  key  ", [("key", "")], id="blanks-around"),
        pytest.param("key value", [("key", "value")], id="value"),
        pytest.param("key \t value", [("key", "value")], id="tab-and-blanks-between"),
        pytest.param("key two words ", [("key", "two words")], id="value-with-blanks"),
        pytest.param("key value # comment", [("key", "value")], id="comment-after-a-value"),
        pytest.param("key # comment", [("key", "")], id="comment-after-a-key"),
        pytest.param("key#comment", [("key", "")], id="comment-right-after-a-key"),
        pytest.param("key 5#comment", [("key", "5")], id="comment-right-after-a-value"),
        pytest.param("a\nb 1\r\nc\n", [("a", ""), ("b", "1"), ("c", "")], id="lf-and-crlf"),
        pytest.param("a\nb", [("a", ""), ("b", "")], id="last-line-without-end"),
        pytest.param('"two words" 3', [("two words", "3")], id="quoted-key"),
        pytest.param('"a # b" 3', [("a # b", "3")], id="hash-in-a-quoted-key"),
        pytest.param('"a\\"b" 3', [('a"b', "3")], id="escaped-quote"),
        pytest.param('"" 3', [("", "3")], id="empty-quoted-key"),
        pytest.param('"never closed', [("never closed", "")], id="unclosed-quote"),
        pytest.param("a\\#b 3", [("a#b", "3")], id="escaped-hash"),
        pytest.param("a\\ b 3", [("a b", "3")], id="escaped-blank"),
        pytest.param("K\u00e4y 1", [("K\u00e4y", "1")], id="not-ascii"),
        pytest.param("Key", [("Key", "")], id="case-is-kept"),
        pytest.param("# a\x0cb\n# a\x0bb\n# a\x1cb\n# a\x85b\n# a\u2028b", [], id="only-line-ends-end-a-comment"),
        pytest.param("\ufeffkey", None, id="byte-order-mark"),
    ],
)
def test_map_text(text: str, entries: list[tuple[str, str]] | None) -> None:
    if entries is not None:
        assert keys_and_values(text) == entries


def test_entries_tell_where_they_stand() -> None:
    assert list(parse_map("# top\na\n\nb 2", "/etc/maps/bad")) == [
        MapEntry("a", "", "/etc/maps/bad:2"),
        MapEntry("b", "2", "/etc/maps/bad:4"),
    ]


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        pytest.param(
            "a.example", ["a.example"], ["A.example", "xa.example", "a.example.", "aXexample", ""], id="plain"
        ),
        pytest.param("*.example", ["a.example", "a.b.example", ".example"], ["example", "a.example.com"], id="star"),
        pytest.param("a*b", ["ab", "a.b", "axxb", "a\nb"], ["ab.", "xab", "a"], id="star-within"),
        pytest.param("*", ["", "a", "a.b"], [], id="star-alone"),
        pytest.param("a?b", ["ab", "axb", "a.b"], ["axxb", "a"], id="question-mark-at-most-one"),
        pytest.param("a+b", ["axb", "axxb", "a.b"], ["ab"], id="plus-one-or-more"),
        pytest.param("a[bc]", ["a[bc]"], ["ab", "ac"], id="brackets-are-literal"),
        pytest.param("a*[bc]", ["a[bc]", "ax[bc]"], ["ab"], id="brackets-are-literal-beside-a-star"),
        pytest.param("a*(b|c)$^", ["a(b|c)$^"], ["ab"], id="other-specials-are-literal"),
        pytest.param("a.?", ["a.", "a.x"], ["ab", "a"], id="dot-is-literal"),
        pytest.param("*a*a*a*b", ["aaab"], ["aaaa", "a" * 250], id="many-stars"),
        pytest.param("*.EXAMPLE", ["a.EXAMPLE"], ["a.example"], id="case-sensitive"),
    ],
)
def test_glob(pattern: str, hits: list[str], misses: list[str]) -> None:
    table = GlobMap.of([MapEntry(pattern, "v", "m:1")])
    assert all(table.get(name) == MapHit("v", "m:1") for name in hits)
    assert not any(table.get(name) for name in misses)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("mx.example 1\nmx.example 2", "1", id="same-key-twice"),
        pytest.param("mx.example 1\n*.example 2", "1", id="literal-before-glob"),
        pytest.param("*.example 2\nmx.example 1", "2", id="glob-before-literal"),
        pytest.param("*.org 3\nmx.* 2\n*.example 1", "2", id="first-glob-that-matches"),
        pytest.param("a 1\n*.org 2\nmx.example 3\n*.example 4", "3", id="literal-among-globs"),
    ],
)
def test_first_entry_that_matches_wins(text: str, value: str) -> None:
    hit = glob(text).get("mx.example")
    assert hit is not None
    assert hit.value == value


def test_glob_map_without_entries_knows_nothing() -> None:
    assert GlobMap().get("a") is None
    assert len(GlobMap()) == 0


def test_length_of_a_glob_map_counts_both_kinds() -> None:
    assert len(glob("a\nb\na\n*.c\n")) == 3


@pytest.mark.parametrize(
    ("text", "ip", "value"),
    [
        pytest.param("11.0.0.1 7", "11.0.0.1", "7", id="address"),
        pytest.param("11.0.0.1 7", "11.0.0.2", None, id="another-address"),
        pytest.param("11.0.0.0/24 corp", "11.0.0.9", "corp", id="network"),
        pytest.param("11.0.0.77/24 corp", "11.0.0.9", "corp", id="network-with-host-bits"),
        pytest.param("11.0.0.1", "11.0.0.1", "1", id="entry-without-value-gives-1"),
        pytest.param("11.0.0.0/8 a\n11.0.0.0/24 b\n11.0.0.0/16 c", "11.0.0.1", "b", id="longest-prefix"),
        pytest.param("11.0.0.0/8 a\n11.0.0.0/24 b\n11.0.0.0/16 c", "11.0.1.1", "c", id="next-longest-prefix"),
        pytest.param("11.0.0.0/8 a", "::ffff:11.0.0.1", "a", id="mapped-address"),
        pytest.param("2606:4700::/32 six", "2606:4700::1111", "six", id="ipv6"),
        pytest.param("2606:4700::/32 six", "11.0.0.1", None, id="families-do-not-meet"),
        pytest.param("2606:4700::1", "2606:4700:0:0::1", "1", id="ipv6-in-another-spelling"),
    ],
)
def test_radix(text: str, ip: str, value: str | None) -> None:
    hit = radix(text).get(ip)
    assert (hit and hit.value) == value


def test_radix_hit_tells_where_its_entry_stands() -> None:
    assert radix("# top\n11.0.0.1 7").get("11.0.0.1") == MapHit("7", "m:2")


def test_entry_that_is_no_network_is_left_out_and_named() -> None:
    table = radix("mail.example.com 3\n11.0.0.1\n11.0.0.0/99\n")
    assert len(table) == 1
    assert table.problems == (
        "m:1: 'mail.example.com' is not an IP address or network; the entry is left out",
        "m:3: '11.0.0.0/99' is not an IP address or network; the entry is left out",
    )
    assert radix("11.0.0.1").problems == ()


@pytest.mark.parametrize(
    ("value", "multiplier"),
    [
        ("", 1.0),
        ("1", 1.0),
        ("3", 3.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("-1", -1.0),
        ("-0.25", -0.25),
        ("+2", 2.0),
        ("0", 0.0),
        ("1e2", 100.0),
        ("1E-2", 0.01),
        ("0x10", 16.0),
        ("0XfF", 255.0),
        ("-0x10", -16.0),
        ("corp", 1.0),
        ("5 five", 1.0),
        ("1,5", 1.0),
        ("1_000", 1.0),
        ("0x", 1.0),
        ("1e", 1.0),
        (".", 1.0),
        ("--1", 1.0),
        ("\u0663", 1.0),
        ("true", 1.0),
        ("inf", 0.0),
        ("-inf", 0.0),
        ("INFINITY", 0.0),
        ("nan", 0.0),
        ("1e999", 0.0),
        ("-1e999", 0.0),
        ("9" * 400, 0.0),
        ("9" * 5000, 0.0),
    ],
)
def test_multiplier_is_what_luas_tonumber_makes_of_the_value(value: str, multiplier: float) -> None:
    """Not a number: 1; not finite: 0."""
    assert MapHit(value, "m:1").multiplier == multiplier


def test_maps_are_all_off_by_default() -> None:
    maps = Maps()
    assert (maps.exclude_domains, maps.exclude_mxs, maps.exclude_ips, maps.bad_mxs, maps.bad_ips) == (None,) * 5


def test_what_is_no_address_is_in_no_network() -> None:
    assert radix("::/0\n0.0.0.0/0").get("mx.example") is None


@pytest.mark.parametrize("size", [0, 8, 24, 40])
def test_an_image_that_ends_too_early_is_told_and_not_read(size: int) -> None:
    for kind in ("glob", "radix"):
        image = compile_map(kind, parse_map("192.0.2.1 x\n", "m"), "m").image
        with pytest.raises(DamagedImage, match="the image of the map is damaged: it has"):
            Table(image[:size])
    with pytest.raises(DamagedImage, match="does not tell how many networks"):
        RadixPart(bytes(2 * 40), (), "m")
    with pytest.raises(DamagedImage, match="does not tell how many networks"):
        RadixPart(bytes(40) + build([Row(b"", 1 << 63, b"")]), (), "m")
