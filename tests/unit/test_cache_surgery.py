"""Single cache entries: which keys can be named, and what values say in words."""

import pytest

from mxcheck_service.cache import surgery
from mxcheck_service.cache.layers import DECODE, CacheLayers, Layer
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.cache.surgery import NoSuchKey
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from tests.unit.fakes import FakeClock


@pytest.mark.parametrize(
    ("layer", "text", "name"),
    [
        ("d", "example.com", "example.com"),
        ("d", "EXAMPLE.com", "example.com"),
        ("d", "bücher.example", "xn--bcher-kva.example"),
        ("d", "example.com.", "example.com."),
        ("d", "192.0.2.1", "192.0.2.1"),
        ("m", "_MX.Example", "_mx.example"),
        ("i", "192.0.2.1", "192.0.2.1"),
        ("i", "2001:DB8:0:0::1", "2001:db8::1"),
        ("i", "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("i", "::FFFF:c000:201", "::ffff:192.0.2.1"),
    ],
)
def test_names_are_written_as_checks_write_them(layer: Layer, text: str, name: str) -> None:
    assert surgery.name_of(layer, text) == name


NOT_KEYS = ["", " ", ".", "*", "a*", "?", "[ab]", "a b", "a:b", "rmx:d:x", "../x", "a/b", "a\nb", "a\r\nDEL x",
            "a\0", "\x1b", "é\ud800", "x" * 64, f"{'a.' * 130}b", "-\n", "example.com\n"]  # fmt: skip
NOT_ADDRESSES = [
    "",
    "192.0.2",
    "192.0.2.1\n",
    "192.0.2.1:25",
    "192.0.2.0/24",
    "*",
    "::1%lo",
    "1.2.3.04",
    "example.com",
    "l",
]


@pytest.mark.parametrize("text", NOT_KEYS)
@pytest.mark.parametrize("layer", ["d", "m"])
def test_what_is_no_name_is_no_key(layer: Layer, text: str) -> None:
    with pytest.raises(NoSuchKey, match="name"):
        surgery.name_of(layer, text)


@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_what_is_no_address_is_no_key(text: str) -> None:
    with pytest.raises(NoSuchKey, match="address"):
        surgery.name_of("i", text)


@pytest.mark.parametrize(
    ("layer", "value", "words"),
    [
        ("d", "mx:a.example:10,b.example:20", "MX hosts, best first: a.example (10), b.example (20)"),
        ("d", "a:v4:192.0.2.1", "no MX, addresses: 192.0.2.1 (A asked for)"),
        ("d", "no", "no MX, A or AAAA record, or no such domain"),
        ("d", "bkn", "MX records, but none that names a usable host"),
        ("d", "null", "Null MX: the domain receives no mail"),
        ("d", "df", "DNS gave no answer"),
        ("d", "junk", "not a value that a check would write; it counts as absent"),
        ("m", "v64:192.0.2.1,2001:db8::1", "addresses: 192.0.2.1, 2001:db8::1 (A and AAAA asked for)"),
        ("m", "v6:", "addresses: none (AAAA asked for)"),
        ("m", "no", "no address, or no such host"),
        ("m", "df", "DNS gave no answer"),
        ("i", "gd", "answers"),
        ("i", "rf", "refuses connections"),
        ("i", "tc", "does not answer"),
        ("i", "tr", "accepts connections but sends no greeting in time"),
        ("i", "inv", "does not speak SMTP"),
        ("i", "err:421", "speaks SMTP but turns us away (421)"),
        ("i", "l", "locked: a probe is under way"),
        ("i", "junk", "not a value that a check would write; it counts as absent"),
        ("i", "", "not a value that a check would write; it counts as absent"),
    ],
)
def test_values_are_told_in_words(layer: Layer, value: str, words: str) -> None:
    assert surgery.meaning(layer, DECODE[layer](value)) == words


async def test_an_entry_is_looked_up_and_purged_alone() -> None:
    memory = MemoryCache(100, FakeClock())
    cache = CacheLayers(memory, MxCheckSettings(key_prefix="own"), RECOMMENDED)
    for key in ("own:d:a.example", "own:m:a.example", "rmx:d:a.example"):
        await memory.set(key, "no", 60)
    entry = await surgery.look(cache, "d", "A.example")
    assert entry is not None
    assert (entry.key, entry.value, entry.left, entry.near) == ("own:d:a.example", "no", 60, True)
    assert await surgery.purge(cache, "d", "A.example") == "own:d:a.example"
    assert set(memory.snapshot()) == {"own:m:a.example", "rmx:d:a.example"}
    assert await surgery.look(cache, "d", "a.example") is None
