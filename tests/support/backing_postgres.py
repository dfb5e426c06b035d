"""PostgreSQL in the reliability suite."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.support.backing import Backing, Keeps, Traits, filled, small_disk
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for

_CALL: Final = re.compile(rb'(?:SELECT \* FROM |SELECT )"[^"]+"\.(\w+)\(')
_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class PostgresBacking(Backing):
    """A private server."""

    name = "postgresql"
    traits = Traits(
        server=True,
        network=True,
        own_clock=True,
        keeps=("last second", "everything"),
        writes_behind=True,
        freezes=True,
    )
    # With every change runs what only a server of this kind has; the rest is no other than with Redis.
    small = frozenset(
        {
            "test_killed_children_lose_nothing",
            "test_server_is_killed_and_keeps_everything",
            "test_server_loses_power_and_what_was_not_forced_to_disk",
            "test_server_ends_every_connection",
            "test_server_takes_no_writes",
            "test_store_is_full",
            "test_every_tenth_request_is_cut",
        }
    )
    SYNCHRONOUS: Final[Mapping[Keeps, Mapping[str, str]]] = {
        "nothing": {},
        # The server writes what was committed every 0.6 s, and after three times that at the latest.
        "last second": {"synchronous_commit": "off", "wal_writer_delay": "600ms"},
        "everything": {"synchronous_commit": "on"},
    }

    def __init__(self, folder: Path, keeps: Keeps = "nothing", disk: str | None = None) -> None:
        super().__init__(folder, keeps, disk)
        self.server: Final = PostgresServer(durable=keeps != "nothing", settings=self.SYNCHRONOUS[keeps])
        self._mounted: Final = ExitStack()
        self._place = folder

    @property
    def url(self) -> str:
        return self.server.url()

    @property
    def results_url(self) -> str:
        return self.server.url(schema="results")

    def start(self) -> None:
        self.server.__enter__()
        if self.disk is not None:
            # The log of writes is elsewhere: without room for that the server ends, and is one that was killed.
            self._place = self._mounted.enter_context(small_disk(self.server.folder, self.disk))
            space = self._place / "space"
            space.mkdir()
            self.server.give(space)
            self.server.ask(f"CREATE TABLESPACE small LOCATION '{space}'", database="postgres")
            self.server.ask("ALTER DATABASE test SET TABLESPACE small", database="postgres")

    def close(self) -> None:
        self.server.stop("immediate")
        self._mounted.close()
        self.server.close()

    def owned_by(self, owners: Iterable[str]) -> set[str]:
        rows = self.server.ask("SELECT id FROM celeriac.message WHERE owner = ANY(%s)", list(owners))
        return {row[0] for row in rows}

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        with filled(self._place):
            yield

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
        yield
        self.server.kill()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def hang_up(self) -> None:
        self.server.ask(_OTHERS, database="postgres")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self._freeze("on")
        try:
            yield
        finally:
            self._freeze("off")

    def _freeze(self, on: str) -> None:
        # Whoever connects from now on finds a server that takes no writes, as after a failover to a standby.
        self.server.ask(f"ALTER SYSTEM SET default_transaction_read_only = {on}", database="postgres")
        self.server.ask("SELECT pg_reload_conf()", database="postgres")
        wait_for(
            lambda: self.server.ask("SHOW default_transaction_read_only", database="postgres") == [(on,)],
            10,
            "the server to have read its configuration",
        )
        if on == "on":
            self.hang_up()

    def versions(self) -> Mapping[str, str]:
        return {"postgresql": str(self.server.ask("SHOW server_version")[0][0])}

    def proxy(self) -> Proxy:
        return Proxy(self.server.port, postgres_operation)

    def url_by(self, proxy: Proxy) -> str:
        return self.server.url().replace(f":{self.server.port}/", f":{proxy.port}/")


def postgres_operation(data: bytes) -> str | None:
    """Return which operation these bytes are: a Parse message with ``SELECT * FROM "schema".claim(...)``, or such.

    An enqueue with a sender's number has a function of its own, ``enqueue_from``.
    """
    found = _CALL.search(data[:200]) if data[:1] == b"P" else None
    return None if found is None else found[1].decode().removesuffix("_from")
