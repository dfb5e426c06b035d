"""Private RabbitMQ nodes for tests: on a free port, in a folder of their own, ended by their own pid."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import psutil

from scripts.ensure_server import ensure_server
from tests.support.freezing import freeze
from tests.support.servers import Certificates, free_port
from tests.support.waiting import wait_for

READY_WITHIN: Final = 90.0
CONFIGURATION: Final = """\
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users = none
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 1GB
collect_statistics = none
"""

TLS: Final = """\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
"""


@functools.cache
def folder_of_programs() -> Path:
    """Return where the scripts are that run as any user; the ones on the PATH insist on a user of their own."""
    found = ensure_server("rabbitmq-server")
    for place in (Path("/usr/lib/rabbitmq/lib"), Path("/usr/lib/rabbitmq")):
        for script in sorted(place.glob("rabbitmq_server-*/sbin/rabbitmq-server")):
            return script.parent
    return Path(found).resolve().parent


class RabbitNode:
    """One node. Its data outlive :meth:`kill`, and go with :meth:`close`.

    Args:
        tls: Certificates to speak TLS with, too, on :attr:`tls_port`.
        settings: Further settings of its application, as Erlang writes them.

    Attributes:
        port: The same in all its lives.
    """

    def __init__(self, *, tls: Certificates | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="celeriac-rabbit-"))
        self.port = free_port()
        self._dist = free_port()
        self.name = f"celeriac-{os.getpid()}-{secrets.token_hex(3)}@localhost"
        self._settings = [f"-rabbit {name} {value}" for name, value in (settings or {}).items()]
        self._process: subprocess.Popen[bytes] | None = None
        self.tls_port = free_port()
        configuration = CONFIGURATION.format(port=self.port)
        if tls is not None:
            files = {"authority": tls.authority, "certificate": tls.certificate, "key": tls.key}
            configuration += TLS.format(port=self.tls_port, **files)
        (self.folder / "rabbitmq.conf").write_text(configuration)
        (self.folder / "plugins").write_text("[].\n")

    @property
    def url(self) -> str:
        """Its URL."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._dist),
            "ERL_CRASH_DUMP": str(self.folder / "crash.dump"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(["+S 2:2 +sbwt none", *self._settings]),
        }

    def start(self) -> Self:
        """Start it, and return when it answers."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [folder_of_programs() / "rabbitmq-server"],
                env=self._environment(),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_for(self._answers, READY_WITHIN, "RabbitMQ answers", every=0.1)
        return self

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended: {(self.folder / 'output').read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as line:
            line.settimeout(2)
            line.sendall(b"AMQP\x00\x00\x09\x01")
            return line.recv(8)[:1] == b"\x01"
        return False

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            # The session is this node's alone.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            if number is signal.SIGKILL:
                process.wait(30)
                self._process = None

    def kill(self) -> None:
        """End it as a loss of power does; what is on disk stays."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, and wait."""
        process = self._process
        if process is not None and process.poll() is None:
            self.resume()
            self.control("stop")
            process.wait(60)
        self._process = None

    def wipe(self) -> None:
        """Remove what it keeps on disk; it must not run."""
        assert self._process is None, "the node runs"
        shutil.rmtree(self.folder / "data")

    def pause(self) -> None:
        """Let it stand still."""
        if self._process is not None:
            first = psutil.Process(self._process.pid)
            family = [one.pid for one in (first, *first.children(recursive=True))]
            freeze([pid for pid in family if os.getpgid(pid) == first.pid])  # Those that will be told to go on.

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl with these arguments and return what it says."""
        command = [str(folder_of_programs() / "rabbitmqctl"), "-q", "-n", self.name, *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def close(self) -> None:
        """Kill it and remove its files."""
        self.resume()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()


_shared: list[RabbitNode] = []


def shared_node() -> RabbitNode:
    """Return this process's node, started with the first call; :func:`close_shared` ends it."""
    if not _shared:
        node = RabbitNode()
        try:
            node.start()
        except BaseException:
            node.close()
            raise
        _shared.append(node)
    return _shared[0]


def close_shared() -> None:
    """End this process's node."""
    while _shared:
        _shared.pop().close()
