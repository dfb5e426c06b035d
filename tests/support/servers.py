"""Private Redis servers for tests, as context managers: started on a free port of this machine, in a folder of their
own, ended by their own pid.

    with RedisServer() as server:
        app = Celeriac(broker=server.url)
        server.kill()                  # as a loss of power to the process; what is on disk stays
        server.start()                 # on the same port

The variable ``CELERIAC_REDIS_SERVER`` names another program to use (another version of Redis, or Valkey).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import redis

from scripts.ensure_server import ensure_server
from tests.support.waiting import wait_for

PORTS: Final = range(10_240, 22_000)
"""Below the ports that systems give to outgoing connections, so that a server can come back to its port; a cluster's
second port is 10,000 above the first."""
READY_WITHIN: Final = 20.0


def program() -> str:
    """Return the path of the server's program; installed if it is missing."""
    return os.environ.get("CELERIAC_REDIS_SERVER") or str(ensure_server("redis-server"))


def free_port(*, bus: bool = False) -> int:
    """Return a port that nobody listens on; with ``bus``, the one 10,000 above it is free, too."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            if bus:
                second.bind(("127.0.0.1", port + 10_000))
            return port


class RedisServer:
    """One server. It is empty and keeps nothing on disk unless told so.

    Args:
        appendonly: Keep a log of writes on disk.
        fsync: How often that log is forced to disk: ``always``, ``everysec`` or ``no``.
        password: What clients must give.
        maxmemory: Most bytes, as in ``8mb``; None for no bound. Nothing is evicted (``noeviction``).
        tls: Certificates to speak TLS with, and nothing else; see :class:`Certificates`.
        client_certificates: With TLS, clients must show a certificate of the same authority.
        unix: Listen on a socket in the file system, and on no port.
        options: Further configuration, for instance ``{"maxmemory-policy": "allkeys-lru"}``.
        arguments: Further arguments of the program, for instance ``("--sentinel",)``.

    Attributes:
        folder: Its files; removed when it is closed.
        port: The same in all its lives.
    """

    def __init__(
        self,
        *,
        appendonly: bool = False,
        fsync: Literal["always", "everysec", "no"] = "everysec",
        password: str | None = None,
        maxmemory: str | None = None,
        tls: Certificates | None = None,
        client_certificates: bool = False,
        unix: bool = False,
        options: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="celeriac-redis-"))
        self.password: Final = password
        self.tls: Final = tls
        self.port: Final = free_port(bus=bool(options and "cluster-enabled" in options))
        self.socket: Final = self.folder / "redis.sock" if unix else None
        self._client_certificates: Final = client_certificates
        self._arguments: Final = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._appendonly: Final = appendonly
        settings = {
            "bind": "127.0.0.1",
            "port": "0" if tls or unix else str(self.port),
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "daemonize": "no",
        }
        if "--sentinel" not in arguments:
            settings |= {
                "save": '""',
                "appendonly": "yes" if appendonly else "no",
                "appendfsync": fsync,
                "maxmemory-policy": "noeviction",
            }
        if password is not None:
            settings |= {"requirepass": f'"{password}"', "masterauth": f'"{password}"'}
        if maxmemory is not None:
            settings["maxmemory"] = maxmemory
        if tls is not None:
            settings |= {
                "tls-port": str(self.port),
                "tls-cert-file": str(tls.certificate),
                "tls-key-file": str(tls.key),
                "tls-ca-cert-file": str(tls.authority),
                "tls-auth-clients": "yes" if client_certificates else "no",
                "tls-replication": "yes",
            }
        if self.socket is not None:
            settings["unixsocket"] = str(self.socket)
        settings |= options or {}
        self._config: Final = self.folder / "redis.conf"
        self._config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    # Its life

    def start(self) -> None:
        """Start it and wait until it answers; on the same port and with the files that it had, if any."""
        assert self._process is None, "the server runs already"
        self._process = subprocess.Popen(
            (program(), str(self._config), *self._arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, READY_WITHIN, f"an answer of {self.folder}\n{self.log}")

    def stop(self) -> None:
        """Ask it to end, and wait: what it keeps on disk is complete."""
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def restart(self, *, data: bool = True, kill: bool = False) -> None:
        """End it and start it again.

        Args:
            data: With what it held. One without a log saves it first, unless it is killed. False: empty-handed.
            kill: End it by SIGKILL.
        """
        if data and not kill and not self._appendonly and self._process is not None:
            with self.client() as client:
                client.save()
        (self.kill if kill else self.stop)()
        if not data:
            self.wipe()
        self.start()

    def wipe(self) -> None:
        """Remove what it keeps on disk; it must not run."""
        assert self._process is None, "the server runs"
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)  # Before Redis 7 the log is one file.
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections are accepted by the system, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its files. Safe to call twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # What tests ask of it

    @property
    def pid(self) -> int:
        """The pid of its process."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """What to pass as ``broker``."""
        user = f":{quote(self.password, safe='')}@" if self.password else ""
        if self.socket is not None:
            return f"redis+socket://{user}{self.socket}"
        if self.tls is None:
            return f"redis://{user}127.0.0.1:{self.port}/0"
        query = f"?ssl_ca_certs={self.tls.authority}"
        if self._client_certificates:
            query += f"&ssl_certfile={self.tls.certificate}&ssl_keyfile={self.tls.key}"
        return f"rediss://{user}127.0.0.1:{self.port}/0{query}"

    @property
    def log(self) -> str:
        """The end of what it logged."""
        path = self.folder / "redis.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "it logged nothing"

    @contextlib.contextmanager
    def client(self, *, timeout: float = 5.0) -> Iterator[redis.Redis]:
        """Lend a client of its own: for looking at the server past Celeriac."""
        common: dict[str, Any] = {"password": self.password, "socket_timeout": timeout}
        if self.socket is not None:
            client = redis.Redis(unix_socket_path=str(self.socket), **common)
        elif self.tls is not None:
            client = redis.Redis(
                port=self.port,
                ssl=True,
                ssl_ca_certs=str(self.tls.authority),
                ssl_certfile=str(self.tls.certificate),
                ssl_keyfile=str(self.tls.key),
                ssl_cert_reqs=ssl.CERT_REQUIRED.name.removeprefix("CERT_").lower(),
                **common,
            )
        else:
            client = redis.Redis(port=self.port, **common)
        with contextlib.closing(client):
            yield client

    def ask(self, *command: str | int) -> Any:
        """Return the reply to one command."""
        with self.client() as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        process = self._process
        assert process is not None
        assert process.poll() is None, f"the server ended with {process.poll()}:\n{self.log}"
        try:
            with self.client(timeout=1.0) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Certificates:
    """A private authority and a certificate of it for this machine, as files.

    Args:
        folder: Where the files go.
        names: Whom the certificate is for.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        import trustme  # Only here: making keys takes a while, and most tests need none.

        authority = trustme.CA()
        issued = authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
        self.authority: Final = folder / "authority.pem"
        self.certificate: Final = folder / "certificate.pem"
        self.key: Final = folder / "key.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        issued.private_key_pem.write_to_path(str(self.key))
