"""A real redis-server: TCP always; TLS, a unix socket and a password as asked. It keeps nothing on disk."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.lab.process import Child, find_program
from tests.lab.sockets import free_port

_HOST = "127.0.0.1"


class RedisServer:
    """A redis-server as a context manager; its ports, socket and certificates stay over a restart.

    The methods block for some milliseconds; `options` go to the server as they are
    (`["--cluster-enabled", "yes"]`).
    """

    def __init__(
        self, *, tls: bool = False, unix: bool = False, password: str | None = None, options: Sequence[str] = ()
    ) -> None:
        self.password = password
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self._unix = unix
        self._options = tuple(options)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-redis-")
        self.folder = Path(self._folder.name)
        try:
            self._child = Child("redis-server", self._argv(), self.folder / "redis.log")
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def _argv(self) -> list[str]:
        argv = [find_program("redis-server"), "--bind", _HOST, "--port", str(self.port), "--dir", str(self.folder)]
        argv += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        if self.tls_port is not None:
            self._write_certificates()
            argv += ["--tls-port", str(self.tls_port), "--tls-auth-clients", "no"]
            argv += ["--tls-ca-cert-file", str(self.ca_file)]
            argv += [
                "--tls-cert-file",
                str(self.folder / "server.pem"),
                "--tls-key-file",
                str(self.folder / "server.key"),
            ]
        if self._unix:
            argv += ["--unixsocket", str(self.socket_path), "--unixsocketperm", "700"]
        if self.password is not None:
            argv += ["--requirepass", self.password]
        return [*argv, *self._options]

    def _write_certificates(self) -> None:
        authority = trustme.CA()
        server = authority.issue_cert(_HOST, "localhost")
        authority.cert_pem.write_to_path(self.ca_file)
        server.private_key_pem.write_to_path(self.folder / "server.key")
        for certificate in server.cert_chain_pems:
            certificate.write_to_path(self.folder / "server.pem", append=True)

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that signed the server's certificate."""
        return self.folder / "ca.pem"

    @property
    def socket_path(self) -> Path:
        """Where the unix socket is, when asked for."""
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        """`redis://…/0`, with the password when there is one."""
        return f"redis://{self._credentials}{_HOST}:{self.port}/0"

    @property
    def tls_url(self) -> str:
        """`rediss://…/0`; a client needs `ca_file`. Raises ValueError when made without `tls`."""
        if self.tls_port is None:
            raise ValueError("made without tls=True")
        return f"rediss://{self._credentials}{_HOST}:{self.tls_port}/0"

    @property
    def unix_url(self) -> str:
        """`unix://…?db=0`, with the password when there is one. Raises ValueError when made without `unix`."""
        if not self._unix:
            raise ValueError("made without unix=True")
        return f"unix://{self._credentials}{self.socket_path}?db=0"

    @property
    def _credentials(self) -> str:
        return "" if self.password is None else f":{quote(self.password, safe='')}@"

    @property
    def running(self) -> bool:
        """Whether the server runs (or is paused)."""
        return self._child.running

    @property
    def log(self) -> str:
        """The server's log."""
        return self._child.log

    @contextmanager
    def client(self) -> Iterator["redis.Redis"]:
        """A blocking client that returns text, for arranging and checking what is stored."""
        client = redis.Redis.from_url(
            self.url,
            decode_responses=True,
            socket_timeout=5,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),  # redis-py's own default would wait seconds for a server that is down
        )
        try:
            yield client
        finally:
            client.close()

    def ask(self, *command: str | int) -> Any:
        """Return the reply to a command as it comes, texts and lists; raises redis.RedisError."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def ask_all(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Return the replies to commands that go out together; raises redis.RedisError for the first that is one."""
        with self.client() as client:
            client.response_callbacks.clear()
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def start(self) -> None:
        """Start on the same ports, empty, and wait until it answers; raises ComponentFailed with the log."""
        self._child.start(self._answers)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Shut down in order (SIGTERM); nothing when it does not run."""
        self._child.stop()

    def kill(self) -> None:
        """End at once (SIGKILL): clients see a reset or an end of stream, then refused connections."""
        self._child.kill()

    def restart(self) -> None:
        """Stop and start again on the same ports; the data is gone."""
        self.stop()
        self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block the server answers nothing, though connections to it still succeed (SIGSTOP)."""
        self._child.pause()
        try:
            yield
        finally:
            if self._child.running:
                self._child.resume()

    def flush(self) -> None:
        """Delete all keys of all databases."""
        with self.client() as client:
            client.flushall()
