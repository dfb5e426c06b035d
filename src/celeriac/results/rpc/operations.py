"""The port's operations where results are messages. Pure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from celeriac.brokers.port import Finding
from celeriac.brokers.rabbitmq.operations.server import examine_way
from celeriac.brokers.rabbitmq.requests import Count, Now
from celeriac.core.message import StoredResult
from celeriac.results.rpc.requests import Deliver, Drop, Expire, Read, RpcOperation

VERSION: Final = 1
_LIMITS: Final = Finding(
    level="advice",
    subject="results",
    text="a result goes to the process that sent the task, and no other can read it",
    remedy="use a store (Redis, PostgreSQL, SQLite, a database) where results are to be read elsewhere or later",
)


class RpcOperations:
    """A result store that is a letterbox."""

    def store(self, results: Sequence[StoredResult]) -> RpcOperation[None]:
        if results:
            yield Deliver(tuple(results))

    def progress(self, results: Sequence[StoredResult]) -> RpcOperation[tuple[str, ...]]:
        """Send interim states. One whose task is over is dropped where it comes in, so that nobody hears of it here."""
        if results:
            yield Deliver(tuple(results), interim=True)
        return ()

    def fetch(self, ids: Sequence[str]) -> RpcOperation[list[StoredResult]]:
        """Return the results that have come.

        Raises:
            ResultElsewhere: This process sent no such task.
        """
        if not ids:
            return []
        found: list[StoredResult] = yield Read(tuple(dict.fromkeys(ids)))
        return found

    def discard(self, ids: Sequence[str]) -> RpcOperation[int]:
        count: int = yield Drop(tuple(ids))
        return count

    def prune(self, dead_letter_age: float | None, limit: int) -> RpcOperation[int]:
        count: int = yield Expire()
        return count

    def now(self) -> RpcOperation[float]:
        now: float = yield Now()
        return now

    def examine(self) -> RpcOperation[list[Finding]]:
        return [*(yield from examine_way()), _LIMITS]

    def install(self) -> RpcOperation[int]:
        yield from _reached()
        return VERSION

    def verify(self) -> RpcOperation[int]:
        yield from _reached()
        return VERSION


def _reached() -> Generator[Any, Any, None]:
    """There is nothing to install, but a server that must be there."""
    yield Count(())
