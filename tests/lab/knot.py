"""A real authoritative DNS server, knotd, with zones given as text."""

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.process import Child, ComponentFailed, find_program, run
from tests.lab.sockets import free_port

_SOA = "@ 3600 IN SOA ns hostmaster 1 3600 600 86400 60\n@ 3600 IN NS ns\nns 3600 IN A 127.0.0.1\n"
_SERIAL = re.compile(r"serial: \d")
_COUNTER = re.compile(r"mod-stats\.query-type\[(\w+)\] = (\d+)")


class KnotServer:
    """knotd as a context manager, on a free port of 127.0.0.1 unless told otherwise, UDP and TCP.

    `zones` maps a zone's name to its zone file text. Names in it are relative to the zone; a default TTL,
    SOA and NS are put in front when the text has no SOA. What lies outside of the zones is REFUSED. The zones in
    `signed` are signed with keys of their own.
    """

    def __init__(
        self,
        zones: Mapping[str, str],
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        signed: Collection[str] = (),
    ) -> None:
        self.address = address
        self.port = free_port() if port is None else port
        self._zones = dict(zones)
        self._signed = signed

    @property
    def nameserver(self) -> str:
        """`address:port`."""
        return f"{self.address}:{self.port}"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-knot-")
        self.folder = Path(self._folder.name)
        try:
            self._write()
            self._knotc_path = find_program("knotc")
            argv = [find_program("knotd"), "-c", str(self._config)]
            self._child = Child("knotd", argv, self.folder / "knot.log")
            self._child.start(self._is_ready)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._folder.cleanup()

    @property
    def _config(self) -> Path:
        return self.folder / "knot.conf"

    def _write(self) -> None:
        lines = [
            "server:",
            f"    rundir: {self.folder}",
            f"    listen: {self.address}@{self.port}",
            "    udp-workers: 1",
            "    tcp-workers: 1",
            "    background-workers: 1",
            "log:",
            "  - target: stderr",
            "    any: info",
            "database:",
            f"    storage: {self.folder}",
            "mod-stats:",
            "  - id: count",
            "    query-type: on",
            "template:",
            "  - id: default",
            "    zonefile-load: whole",
            "    journal-content: none",
            "    module: mod-stats/count",
            "zone:",
        ]
        for number, (name, text) in enumerate(self._zones.items()):
            path = self.folder / f"{number}.zone"
            head = "" if re.search(r"\bSOA\b", text) else _SOA
            path.write_text(f"$ORIGIN {name.rstrip('.')}.\n$TTL 60\n{head}{text}\n")
            lines += [f'  - domain: "{name.rstrip(".")}."', f"    file: {path}"]
            if name in self._signed:
                lines += ["    dnssec-signing: on", "    zonefile-sync: -1", "    journal-content: changes"]
        self._config.write_text("\n".join(lines) + "\n")

    def _knotc(self, *words: str) -> str:
        return run([self._knotc_path, "-s", str(self.folder / "knot.sock"), "-b", *words], f"knotc {' '.join(words)}")

    def _is_ready(self) -> bool:
        try:
            self._knotc("status")
            return all(_SERIAL.search(self._knotc("zone-status", zone, "+serial")) for zone in self._zones)
        except ComponentFailed:
            return False

    def set_zone(self, name: str, text: str) -> None:
        """Add a zone or replace one; it is served on return. Raises ComponentFailed for a bad zone text."""
        is_new = name not in self._zones
        self._zones[name] = text
        self._write()
        if is_new:
            self._knotc("reload")
        try:
            self._knotc("zone-reload", name)
        except ComponentFailed as error:
            raise ComponentFailed(f"{error}\n{self.log[-2000:]}") from None

    def queries(self, zone: str) -> Counter[str]:
        """How many queries of each type a zone has had, such as `Counter({"MX": 2})`; `set_zone` may reset it."""
        text = self._knotc("zone-stats", zone, "mod-stats.query-type")
        return Counter({kind: int(count) for kind, count in _COUNTER.findall(text)})

    @property
    def log(self) -> str:
        """The server's log."""
        return self._child.log
