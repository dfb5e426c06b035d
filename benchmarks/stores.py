"""The servers of a run: each private, on a free port of the loopback interface, with its program's default settings
except where the page says otherwise, and emptied before each measurement.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from tests.support.postgres import PostgresServer
from tests.support.rabbitmq import RabbitNode
from tests.support.servers import RedisServer

FILE: Final = "sqlite"
"""The store without a server: a file in the folder of the measurement."""
RIGHTS: Final = ", ".join(['<<".*">>'] * 3)
"""To configure, write and read everything of a virtual host, as an Erlang node takes them."""


class Store(Protocol):
    """A server that is running."""

    @property
    def version(self) -> str:
        """Its version, with its name."""
        ...

    def empty(self) -> str:
        """Return the URL of an empty place on it."""
        ...


class _Redis:
    """Without snapshots and append-only file, its fastest setting."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._server = stack.enter_context(RedisServer())
        with self._server.client() as client:
            self.version = f"redis-server {client.info('server')['redis_version']}"

    def empty(self) -> str:
        """Remove everything."""
        self._server.ask("FLUSHALL")
        return self._server.url


class _Postgres:
    """Durable, as its default is: each commit waits for the disk."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._server = stack.enter_context(PostgresServer(durable=True, settings={"shared_buffers": "128MB"}))
        self.version = f"PostgreSQL {self._server.ask('SHOW server_version')[0][0].split()[0]}"

    def empty(self) -> str:
        """Make the database anew, and let nothing that the last one left be written during the next measurement."""
        self._server.ask("DROP DATABASE IF EXISTS bench WITH (FORCE)", database="postgres")
        self._server.ask("CREATE DATABASE bench", database="postgres")
        self._server.ask("CHECKPOINT", database="postgres")
        return f"postgresql://tester@127.0.0.1:{self._server.port}/bench"


class _Rabbit:
    """A node with one virtual host for each measurement."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._node = stack.enter_context(RabbitNode())
        self.version = f"RabbitMQ {self._node.control('eval', 'rabbit_misc:version().').strip().strip(chr(34))}"
        self._names = (f"bench{number}" for number in itertools.count(1))
        self._last: str | None = None

    def empty(self) -> str:
        """Make a virtual host, and remove the last one; in one call, since each takes a second to start."""
        name = next(self._names)
        calls = [] if self._last is None else [f'rabbit_vhost:delete(<<"{self._last}">>, <<"bench">>)']
        calls.append(f'ok = rabbit_vhost:add(<<"{name}">>, <<"bench">>)')
        calls.append(
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, {RIGHTS}, <<"bench">>)'
        )
        self._last = name
        self._node.control("eval", f"{', '.join(calls)}.")
        return f"{self._node.url}{name}"


_SERVERS: Final[dict[str, Callable[[contextlib.ExitStack], Store]]] = {
    "redis": _Redis,
    "postgresql": _Postgres,
    "rabbitmq": _Rabbit,
}


class Stores:
    """The servers that a run needs; a context manager that ends them.

    Args:
        names: ``redis``, ``postgresql``, ``rabbitmq``; or ``sqlite``, which needs none.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted({*names} - {FILE})
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Store] = {}

    def __enter__(self) -> Stores:
        """Start them.

        Raises:
            ServerMissingError: There is no program, and it could not be installed.
        """
        try:
            for name in self._names:
                self._running[name] = _SERVERS[name](self._stack)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def versions(self) -> list[str]:
        """Name and version of each."""
        return [self._running[name].version for name in self._names]

    def empty(self, names: Iterable[str], folder: Path) -> dict[str, str]:
        """Return the URL of an empty place in each of these stores; files go into the folder."""
        return {
            name: f"sqlite:///{folder / 'celeriac.db'}" if name == FILE else self._running[name].empty()
            for name in {*names}
        }
