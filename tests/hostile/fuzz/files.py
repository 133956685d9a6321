"""What operators give: lists for bulk runs, settings, and what rspamd tells of its own."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mxcheck_service import config
from mxcheck_service.bulk.lines import LONGEST_LINE, LONGEST_RECORD, CsvColumn, InputError, Line, Lines, Plain, Reader
from mxcheck_service.config import ConfigError
from mxcheck_service.core.settings import RECOMMENDED
from mxcheck_service.importing.convert import convert
from mxcheck_service.importing.dump import ImportFailed
from mxcheck_service.targets import NoTarget, message
from tests.hostile.fuzz.target import Check, Target, parts, pure, text

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_READERS: Final[tuple[Callable[[], Reader], ...]] = (
    Plain,
    lambda: CsvColumn(1),
    lambda: CsvColumn("domain"),
    lambda: CsvColumn(2, ";"),
)


def check_bulk(data: bytes) -> None:
    """A kind of list, where it is cut, and the list: the same lines in any pieces, which end where they say, or
    InputError; what is shown of one is a line."""
    kind, size, content = data[:1], data[1:2], data[2:]
    make = _READERS[kind[0] % len(_READERS) if kind else 0]
    step = 1 + (size[0] if size else 0)
    pieces = [content[at : at + step] for at in range(0, len(content), step)]
    whole = _read(Lines(make()), [content] if content else [])
    assert whole == _read(Lines(make()), pieces)
    ends = [line.end for line in whole if isinstance(line, Line)]
    assert ends == sorted(ends)
    assert not ends or ends[-1] <= len(content)
    for line in whole:
        if isinstance(line, Line):
            assert len(line.text) <= max(LONGEST_RECORD, 4 * LONGEST_LINE)
            assert not _UNPRINTABLE.search(line.shown)
            with suppress(NoTarget):
                message(line.text, RECOMMENDED)


def _read(lines: Lines, pieces: list[bytes]) -> list[Line | str]:
    found: list[Line | str] = []
    try:
        for piece in (*pieces, b""):
            found += lines.feed(piece)
    except InputError as error:
        found.append(str(error))
    return found


@contextmanager
def settings() -> Iterator[Check]:
    """A file, and the environment as NAME=value lines: settings that can be dumped and read again, or ConfigError."""
    with TemporaryDirectory(prefix="mxcheck-fuzz-") as folder:
        path = Path(folder) / "config.yaml"

        def check(data: bytes) -> None:
            written, environment = parts(data, 2)
            path.write_bytes(written)
            pairs = (line.partition("=") for line in text(environment).split("\n"))
            # A secret's file would be any file of this machine.
            environ = {name: value for name, _, value in pairs if not name.upper().endswith("_FILE")}
            try:
                loaded = config.load(path, environ)
            except ConfigError as error:
                assert error.problems
                return
            config.secrets(loaded.settings)
            assert config.dump(loaded.settings)

        yield check


@contextmanager
def imported() -> Iterator[Check]:
    """What rspamadm prints becomes settings that load, or it is ImportFailed."""
    with TemporaryDirectory(prefix="mxcheck-fuzz-") as folder:
        path = Path(folder) / "config.yaml"

        def check(data: bytes) -> None:
            try:
                yaml, left_out = convert(text(data))
            except ImportFailed:
                return
            assert left_out >= 0
            path.write_text(yaml, encoding="utf-8")
            config.load(path, {})

        yield check


TARGETS: Final = (
    Target(
        "bulk",
        pure(check_bulk),
        seeds=(
            b"\0\0a@b.example\n# no\n\nc.example\r\n",
            b'\1\3a,b\n"c\nd",e\n',
            b'\2\1id,domain\n1,a.example\n2,"b""\n.example"\n',
            b"\3\7a;b.example\n;",
            b"\0\0\xef\xbb\xbfa\xff\n" + b"x" * 4100 + b"\n\x1b[31m",
            b"\2\0x\n",
            b'\1\0"open\n',
            b"\1\0a\rb\n\0,c\n",
        ),
        words=(
            b"\n",
            b"\r",
            b"\r\n",
            b'"',
            b'""',
            b",",
            b";",
            b"domain",
            b"\0",
            b"#",
            b"\xff",
            b"\xe2\x80\xa8",
            b"@",
            b"\xef\xbb\xbf",
        ),
        longest=16384,
    ),
    Target(
        "config",
        settings,
        seeds=(
            b"server:\n  port: 11340\n  workers: 2\ncache:\n  url: redis://u:p@h/0\n",
            b"preset: reference\nmx_check:\n  exclude_ips:\n  - 10.0.0.0/8\n  timeout: 1\n  connect_timeout: 2\n",
            b"improvements: {probe_attempts: 3, egress_check: [a:25]}\ndns: ~\n",
            b"{}\x1eMXCHECK_SERVER__PORT=1\nMXCHECK_DNS__NAMESERVERS=[127.0.0.1]\nMXCHECK_PRESET=reference\nMXCHECK_CACHE__URL=memory://",
            b"a: &a [*a]\nserver: *a\n",
            b"server: {<<: {port: 1}}\n",
            b"? [a]\n: b\n",
            b"!!bool x",
            b"!!timestamp x: 1",
            b"!!int ''",
            b"x: 2001-99-99",
            b"[" * 400,
            b"\xff",
            b"---\n---\n",
            b"x: !!python/object:os.system y",
            b'server: {port: .nan, host: "\\ud800"}',
            b"\x1eMXCHECK_DNS__NAMESERVERS=[!!bool x]",
            b"\x1eMXCHECK_DNS__NAMESERVERS=" + b"[" * 400,
            b"maps: {interval: -1}\nserver: 1\n",
        ),
        words=(
            b"server",
            b"cache",
            b"dns",
            b"mx_check",
            b"improvements",
            b"maps",
            b"preset",
            b": ",
            b"\n  ",
            b"- ",
            b"[",
            b"]",
            b"{",
            b"}",
            b"&a ",
            b"*a",
            b"!!",
            b"!!int ",
            b"!!float ",
            b"!!binary ",
            b"!!set ",
            b"!!omap ",
            b"!!timestamp ",
            b"<<: ",
            b"? ",
            b"|\n",
            b"'",
            b'"',
            b"MXCHECK_",
            b"__",
            b"=",
            b"null",
            b".inf",
            b"1e400",
            b"0x",
            b"port",
            b"url",
            b"timeout",
            b"bad_mxs",
            b"local_addrs",
            b"\x1e",
        ),
    ),
    Target(
        "import",
        imported,
        seeds=(
            b'{"enabled": true, "servers": "127.0.0.1:6379", "expire": "1d", "timeout": 1.0, "symbol_no_mx": "X"}{}',
            b'{"mx_check": [{"exclude_domains": {"url": "/etc/x"}, "expire": 1}, {"bad_ips": ["10.0.0.0/8"]}],'
            b' "redis": {"servers": ["a", "b:1:2"],'
            b' "password": "p", "db": 1, "ssl": true}, "options": {"local_addrs": "127.0.0.1, ::1",'
            b' "dns": {"nameserver": "round-robin:[::1]:53",'
            b' "timeout": "1s", "retransmits": 3}}}',
            b'{"mx_check": {"sentinels": "s1:26379", "sentinel_masters_pattern": "^m$",'
            b' "key_prefix": "a"}, "redis": {}}',
            b'{"expire": 1' + b"0" * 400 + b"}",
            b'{"mx_check": {"max_mx_a_records": 1e99, "symbol_no_mx": 1, "connect_timeout": -1}}',
            b"[[]]",
            b"{",
            b'{"expire": NaN}',
            b'{"mx_check": {"bad_mxs": ["glob;https://h/x", "sign+key=a+https://h"],'
            b' "redis": {"server": "/run/redis.sock"}}}',
        ),
        words=(
            b'"mx_check": ',
            b'"redis": ',
            b'"options": ',
            b'"servers": ',
            b'"dns": ',
            b'"nameserver": ',
            b'"timeout": ',
            b'"expire": ',
            b'"url": ',
            b'"upstreams": ',
            b'"data": ',
            b'"static"',
            b'"exclude_ips": ',
            b'"bad_mxs": ',
            b'"sentinels": ',
            b'"password": ',
            b'"local_addrs": ',
            b"null",
            b"true",
            b"[",
            b"]",
            b"{",
            b"}",
            b'"',
            b",",
            b":",
            b"1e308",
            b"\\ud800",
            b"\\n",
            b"\\u0000",
            b'"1d"',
            b'"db": ',
            b'"enabled": ',
            b'"1"',
        ),
    ),
)
