"""The private redis-server that peers use: on a free port of the loopback interface, in memory only."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from benchmarks.processes import Processes
from scripts.ensure_server import ensure_server

PATIENCE: Final = 10.0


@dataclass(frozen=True)
class RedisServer:
    """A running server."""

    port: int
    version: str

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Remove everything it holds."""
        with redis.Redis(port=self.port) as client:
            client.flushall()


def start_redis(processes: Processes, folder: Path) -> RedisServer:
    """Start a server without snapshots and append-only file, its fastest settings.

    Raises:
        ServerMissingError: There is no program, and it could not be installed.
        ProcessFailed: It did not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    running = processes.start("redis-server", [str(ensure_server("redis-server")), *options], {})
    until = time.monotonic() + PATIENCE
    with redis.Redis(port=port) as client:
        while True:
            running.check()
            try:
                return RedisServer(port, str(client.info("server")["redis_version"]))
            except redis.ConnectionError:
                if time.monotonic() > until:
                    raise running.failure(f"did not answer within {PATIENCE:.0f} s") from None
            time.sleep(0.02)
