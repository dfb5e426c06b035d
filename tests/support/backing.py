"""What a broker is to the reliability suite: one adapter class for each driver, and no scenario knows which it has.

A driver joins by one subclass of :class:`Backing` and a line in ``tests/support/backings.py``. Its :class:`Traits`
choose the scenarios that apply; ``tests/faults/test_suite.py`` holds the list of those that do not.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Final, Literal, cast

from tests.support.proxy import Proxy
from tests.support.servers import RedisServer, free_port

Keeps = Literal["nothing", "last second", "everything"]
"""What a store has after SIGKILL of its server: nothing, all but the last second or two, all that it acknowledged."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a driver's store is.

    Attributes:
        server: A process serves it, which can be killed, stopped and started again.
        network: Workers reach it by TCP, so that a proxy can stand between.
        own_clock: Its time is its server's, not that of the workers' machines.
        keeps: What it can be told to keep through SIGKILL of the server.
        writes_behind: What it has not forced to disk lies in the server, so that SIGKILL takes it as a loss of power
            does; False where it has been handed to the system.
        whole: It keeps all that is known of a task, until the end. False for one that hands messages on to another
            store, which then has the leases, and the results.
        freezes: It can be told to take no writes.
    """

    server: bool
    network: bool
    own_clock: bool
    keeps: tuple[Keeps, ...] = ("everything",)
    writes_behind: bool = False
    whole: bool = True
    freezes: bool = False


class Backing(ABC):
    """One store for one test.

    Args:
        folder: Its files, if it has any.
        keeps: What is to be kept through SIGKILL of the server; without a server it has no meaning.
        disk: Size of the disk that it is to have for itself, as in ``24m``, so that :meth:`full` can fill it.

    Attributes:
        small: The scenarios that run at their small size, with every change; the others run for the page alone. None
            means all of them.
    """

    name: ClassVar[str]
    traits: ClassVar[Traits]
    small: ClassVar[frozenset[str] | None] = None

    def __init__(self, folder: Path, keeps: Keeps = "nothing", disk: str | None = None) -> None:
        self.folder: Final = folder
        self.keeps: Final = keeps
        self.disk: Final = disk

    @property
    @abstractmethod
    def url(self) -> str:
        """What to pass as ``broker``."""

    @property
    def backend_url(self) -> str:
        """What to pass as ``backend``, unless results are to be apart."""
        return self.url

    @property
    @abstractmethod
    def results_url(self) -> str:
        """A result store of its own."""

    @abstractmethod
    def start(self) -> None:
        """Make the store usable."""

    @abstractmethod
    def close(self) -> None:
        """End what was started. Safe to call twice."""

    @abstractmethod
    def owned_by(self, owners: Iterable[str]) -> set[str]:
        """Return the ids that these owners hold, read past Celeriac."""

    def is_held(self) -> bool:
        """Return whether somebody keeps the store from everybody else: who stands still may do so for ever."""
        return False

    @contextlib.contextmanager
    @abstractmethod
    def full(self) -> Iterator[None]:
        """Let the store refuse to grow for a while; it was made with ``disk``."""

    # Only with a server.

    def kill(self) -> None:
        """SIGKILL the server."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the server in order."""
        raise NotImplementedError

    def start_again(self, *, data: bool = True) -> None:
        """Start the server where it was, with what it has kept, or empty-handed."""
        raise NotImplementedError

    def losing_power(self, unsynced: float) -> AbstractContextManager[None]:
        """At the end of the block, take from the server what it had written less than so many seconds before.

        As a loss of power may, to one that keeps all but the last second. The server does not run afterwards.
        """
        raise NotImplementedError

    def pause(self) -> None:
        """Stop the server in its tracks (SIGSTOP)."""
        raise NotImplementedError

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """Let the server end every connection."""
        raise NotImplementedError

    def under_way(self) -> int:
        """Return how many messages the server has sent to somebody and still keeps, where ``stats`` cannot tell."""
        return 0

    def frozen(self) -> AbstractContextManager[None]:
        """Let the server take no writes for a while, as one that has become a replica or a standby."""
        raise NotImplementedError

    def slowest(self) -> float | None:
        """Return the seconds for which one request held the server at most, by its own measure; None if it has none."""
        return None

    def versions(self) -> Mapping[str, str]:
        """Return what the figures depend on: the program and its version."""
        return {}

    # Only with a network.

    def proxy(self) -> Proxy:
        """Return a proxy before the server that knows its protocol."""
        raise NotImplementedError

    def url_by(self, proxy: Proxy) -> str:
        """Return the URL that leads through the proxy."""
        raise NotImplementedError

    def backend_url_by(self, proxy: Proxy) -> str:
        """Return what to pass as ``backend`` beside it."""
        return self.url_by(proxy)


class SqliteBacking(Backing):
    """A file."""

    name = "sqlite"
    traits = Traits(server=False, network=False, own_clock=False)

    def __init__(self, folder: Path, keeps: Keeps = "nothing", disk: str | None = None) -> None:
        super().__init__(folder, keeps, disk)
        self._place = folder
        self._mounted: Final = ExitStack()

    @property
    def path(self) -> Path:
        """The file."""
        return self._place / "q.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def results_url(self) -> str:
        return f"sqlite:///{self._place / 'results.db'}"

    def start(self) -> None:
        if self.disk is not None:
            self._place = self._mounted.enter_context(small_disk(self.folder, self.disk))

    def close(self) -> None:
        self._mounted.close()

    def owned_by(self, owners: Iterable[str]) -> set[str]:
        wanted = set(owners)
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as connection:
            rows = connection.execute("SELECT id, owner FROM message WHERE owner IS NOT NULL").fetchall()
        return {task_id for task_id, owner in rows if owner in wanted}

    def is_held(self) -> bool:
        with contextlib.closing(sqlite3.connect(self.path, timeout=1.0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        with filled(self._place):
            yield

    def versions(self) -> Mapping[str, str]:
        return {"sqlite": sqlite3.sqlite_version}


class RedisBacking(Backing):
    """A private server."""

    name = "redis"
    traits = Traits(server=True, network=True, own_clock=True, keeps=("last second", "everything"), freezes=True)

    def __init__(self, folder: Path, keeps: Keeps = "nothing", disk: str | None = None) -> None:
        super().__init__(folder, keeps, disk)
        fsync: Literal["always", "everysec"] = "always" if keeps == "everything" else "everysec"
        self.server: Final = RedisServer(
            appendonly=keeps != "nothing", fsync=fsync, options={"slowlog-log-slower-than": "1000"}
        )

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def results_url(self) -> str:
        return self.server.url.removesuffix("/0") + "/1"

    def start(self) -> None:
        self.server.start()

    def close(self) -> None:
        self.server.close()

    def owned_by(self, owners: Iterable[str]) -> set[str]:
        with self.server.client() as client:
            keys = [cast("list[bytes]", client.hkeys(f"{{celeriac}}:o:{owner}")) for owner in owners]
        return {key.decode() for some in keys for key in some}

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        # What the server itself needs from moment to moment counts, too: less than it has now is full at once.
        self.server.ask("CONFIG", "SET", "maxmemory", self.server.ask("INFO", "memory")["used_memory"] // 2)
        try:
            yield
        finally:
            self.server.ask("CONFIG", "SET", "maxmemory", 0)

    def kill(self) -> None:
        self.server.kill()

    def stop(self) -> None:
        self.server.stop()

    def start_again(self, *, data: bool = True) -> None:
        if not data:
            self.server.wipe()
        self.server.start()

    @contextlib.contextmanager
    def losing_power(self, unsynced: float) -> Iterator[None]:
        log = max((self.server.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
        sizes: list[tuple[float, int]] = [(time.monotonic(), log.stat().st_size)]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.02):
                sizes.append((time.monotonic(), log.stat().st_size))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        yield
        while time.monotonic() - sizes[0][0] < unsynced:  # Before, it is not known what the log held.
            time.sleep(0.02)
        self.server.kill()
        ended.set()
        watcher.join()
        until = time.monotonic() - unsynced
        os.truncate(log, max(size for at, size in sizes if at <= until))

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def hang_up(self) -> None:
        for kind in ("normal", "pubsub"):
            self.server.ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.server.ask("REPLICAOF", "127.0.0.1", free_port())
        self.hang_up()  # As Sentinels do to one that they make a replica.
        try:
            yield
        finally:
            self.server.ask("REPLICAOF", "NO", "ONE")

    def slowest(self) -> float | None:
        with self.server.client() as client:
            return max((entry["duration"] for entry in client.slowlog_get(128)), default=0) / 1e6

    def versions(self) -> Mapping[str, str]:
        return {"redis": str(self.server.ask("INFO", "server")["redis_version"])}

    def proxy(self) -> Proxy:
        return Proxy(self.server.port, redis_operation)

    def url_by(self, proxy: Proxy) -> str:
        return f"redis://127.0.0.1:{proxy.port}/0"


@cache
def _scripts() -> dict[bytes, str]:
    from celeriac.brokers.redis.scripts import source  # Only here: a driver's module needs the driver's client.

    found = [one.name for one in files("celeriac.brokers.redis.scripts").iterdir()]
    names = [name.removesuffix(".lua") for name in found if name.endswith(".lua")]
    # One operation may have a second script for what most calls send.
    return {
        sha1(source(name).encode(), usedforsecurity=False).hexdigest().encode(): name.removesuffix("_one")
        for name in names
    }


def redis_operation(data: bytes) -> str | None:
    """Return which script these bytes call: ``EVALSHA sha ...``; None for anything else."""
    parts = data[:120].split(b"\r\n", 5)
    if len(parts) > 4 and parts[2].upper() == b"EVALSHA":
        return _scripts().get(parts[4])
    return None


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of this size in the folder, in memory; needs root."""
    place = folder / "disk"
    place.mkdir()
    done = subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)), check=False)
    assert done.returncode == 0, "a small disk could not be mounted: these tests need root, as in a container"
    try:
        yield place
    finally:
        subprocess.run(("umount", "--lazy", str(place)), check=True)


@contextlib.contextmanager
def filled(place: Path) -> Iterator[None]:
    """Fill the disk on which this folder is, which must be a small one: see :func:`small_disk`."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass
    try:
        yield
    finally:
        ballast.unlink()
