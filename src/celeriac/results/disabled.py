"""The result store of an app that has none: what is stored is let go, and every read says how to get a store."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, NoReturn

from celeriac.brokers.port import Capabilities, Finding
from celeriac.core.message import StoredResult
from celeriac.core.operation import Operation
from celeriac.errors import ResultStoreDisabled

_ADVICE: Final = (
    'no result backend is configured, so results are not kept: give the app one (Celeriac(..., backend="sqlite:///'
    'celeriac.db") or the setting result_backend), in the workers as well as here'
)


def _refuse() -> NoReturn:
    raise ResultStoreDisabled(_ADVICE)


class DisabledOperations:
    """Operations that ask for nothing."""

    def store(self, results: Sequence[StoredResult]) -> Operation[Any, Any, None]:
        yield from _nothing()

    def progress(self, results: Sequence[StoredResult]) -> Operation[Any, Any, tuple[str, ...]]:
        yield from _nothing()
        return ()

    def fetch(self, ids: Sequence[str]) -> Operation[Any, Any, list[StoredResult]]:
        yield from _nothing()
        _refuse()

    def discard(self, ids: Sequence[str]) -> Operation[Any, Any, int]:
        yield from _nothing()
        _refuse()

    def now(self) -> Operation[Any, Any, float]:
        yield from _nothing()
        _refuse()

    def examine(self) -> Operation[Any, Any, list[Finding]]:
        yield from _nothing()
        return []

    def prune(self, dead_letter_age: float | None, limit: int) -> Operation[Any, Any, int]:
        yield from _nothing()
        return 0

    def install(self) -> Operation[Any, Any, int]:
        yield from _nothing()
        return 1

    def verify(self) -> Operation[Any, Any, int]:
        yield from _nothing()
        return 1


def _nothing() -> Generator[Any, Any, None]:
    yield from ()


class DisabledPerformer:
    """Has nothing to perform."""

    def perform(self, request: Any) -> NoReturn:
        _refuse()

    def close(self) -> None:
        """There is nothing to close."""


class AsyncDisabledPerformer:
    """The awaiting twin of :class:`DisabledPerformer`."""

    async def perform(self, request: Any) -> NoReturn:
        _refuse()

    async def close(self) -> None:
        """There is nothing to close."""


class DisabledStore:
    """Stands where a driver stands."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="disabled", durable=False, shared=False, results=False, push=False, remote=False)

    @property
    def operations(self) -> DisabledOperations:
        return DisabledOperations()

    def performer(self) -> DisabledPerformer:
        return DisabledPerformer()

    def async_performer(self) -> AsyncDisabledPerformer:
        return AsyncDisabledPerformer()

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> NoReturn:
        _refuse()

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> NoReturn:
        _refuse()
