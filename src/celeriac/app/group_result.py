"""Results of many tasks: ResultSet, and GroupResult for a group that was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from celeriac.app import gathering
from celeriac.app import state as process
from celeriac.app.result import AsyncResult, result_from_tuple
from celeriac.core import state
from celeriac.core.message import StoredResult
from celeriac.errors import CeleriacError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.results import SyncResults


class ResultSet:
    """Some results, in order. Members may be sets themselves.

    Args:
        results: The results.
        app: Default: that of the first result, else the current one.
    """

    def __init__(self, results: Iterable[Any], app: Celeriac | None = None, **_: Any) -> None:
        self.results: list[Any] = list(results)
        self._app = app

    @property
    def app(self) -> Celeriac:
        if self._app is not None:
            return self._app
        return self.results[0].app if self.results else process.get_current()

    @property
    def backend(self) -> SyncResults:
        """The result store."""
        return self.app.backend

    @property
    def supports_native_join(self) -> bool:
        """Whether one look at the store sees all of them, as it does."""
        return True

    # Its members.

    def add(self, result: Any) -> None:
        """Add a result, unless it is there."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: Any) -> None:
        """Take a result, or the one with this id, away.

        Raises:
            KeyError: It is not there.
        """
        found = next((one for one in self.results if result in (one, one.id)), None)
        if found is None:
            raise KeyError(result)
        self.results.remove(found)

    discard = remove

    def update(self, results: Iterable[Any]) -> None:
        """Add those that are not there."""
        for one in results:
            self.add(one)

    def clear(self) -> None:
        """Take all away."""
        self.results.clear()

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def leaves(self) -> list[AsyncResult[Any]]:
        """Return the results of all tasks in it, also of those in sets in it."""
        found: list[AsyncResult[Any]] = []
        for one in self.results:
            found += one.leaves() if isinstance(one, ResultSet) else [one]
        return found

    # How far they are; one look at the store for all.

    def _states(self) -> list[str]:
        leaves = self.leaves()
        unknown = [one.id for one in leaves if not one.over]
        stored = {one.id: one for one in self.backend.fetch(unknown)} if unknown else {}
        return _states(leaves, stored)

    async def _astates(self) -> list[str]:
        leaves = self.leaves()
        unknown = [one.id for one in leaves if not one.over]
        stored = {one.id: one for one in await self.app.async_backend().fetch(unknown)} if unknown else {}
        return _states(leaves, stored)

    def ready(self) -> bool:
        """Return whether all are over."""
        return all(one in state.READY_STATES for one in self._states())

    async def aready(self) -> bool:
        """Return whether all are over."""
        return all(one in state.READY_STATES for one in await self._astates())

    def waiting(self) -> bool:
        """Return whether some are not over."""
        return not self.ready()

    def successful(self) -> bool:
        """Return whether all are over and returned."""
        return all(one == state.SUCCESS for one in self._states())

    async def asuccessful(self) -> bool:
        """Return whether all are over and returned."""
        return all(one == state.SUCCESS for one in await self._astates())

    def failed(self) -> bool:
        """Return whether any has failed."""
        return any(one == state.FAILURE for one in self._states())

    async def afailed(self) -> bool:
        """Return whether any has failed."""
        return any(one == state.FAILURE for one in await self._astates())

    def completed_count(self) -> int:
        """Return how many have returned."""
        return sum([one == state.SUCCESS for one in self._states()])

    async def acompleted_count(self) -> int:
        """Return how many have returned."""
        return sum([one == state.SUCCESS for one in await self._astates()])

    def maybe_throw(self, callback: Callable[[str, Any], Any] | None = None, propagate: bool = True) -> None:
        """Raise the exception of the first that failed."""
        for one in self.results:
            one.maybe_throw(propagate=propagate, callback=callback)

    maybe_reraise = maybe_throw

    # What they came to.

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> list[Any]:
        """Wait until all are over and return their values, in their order; nested sets give nested lists.

        Args:
            timeout: Seconds to wait for all of them; None waits without end.
            propagate: Raise the exception of the first that failed; False returns exceptions in their places.
            interval: Longest time in seconds between two looks at the store.
            callback: Called with the id and the value of each, in their order.
            no_ack, on_message, on_interval: Have no meaning here.
            disable_sync_subtasks: False allows the call inside a task.

        Raises:
            TimeoutError: Some are not over in time.
            RuntimeError: This is inside a task.
            Exception: What a task raised.
        """
        values = gathering.gather(
            self.leaves(),
            timeout,
            propagate=propagate,
            interval=interval,
            disable_sync_subtasks=disable_sync_subtasks,
        )
        return self._shaped(values, callback)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> list[Any]:
        """Wait until all are over; the awaitable twin of :meth:`get`."""
        values = await gathering.agather(
            self.leaves(),
            timeout,
            propagate=propagate,
            interval=interval,
            disable_sync_subtasks=disable_sync_subtasks,
        )
        return self._shaped(values, callback)

    join = get
    join_native = get
    ajoin = aget
    ajoin_native = aget

    def _shaped(self, values: list[Any], callback: Callable[[str, Any], Any] | None) -> list[Any]:
        leaves = self.leaves()
        if callback is not None:
            for one, value in zip(leaves, values, strict=True):
                callback(one.id, value)
        return self.nested(iter(values))

    def nested(self, values: Iterator[Any]) -> list[Any]:
        """Return the values of its tasks, nested as it is."""
        return [one.nested(values) if isinstance(one, ResultSet) else next(values) for one in self.results]

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the id and a dictionary (status, result, traceback, ...) of each, as they come in."""
        yield from gathering.stream(self.app, [one.id for one in self.leaves()], timeout=timeout, interval=interval)

    async def aiter_native(
        self, timeout: float | None = None, interval: float | None = None
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield each as it comes in; the awaitable twin of :meth:`iter_native`."""
        async for one in gathering.astream(
            self.app, [one.id for one in self.leaves()], timeout=timeout, interval=interval
        ):
            yield one

    # Doing something about them.

    def revoke(self, **options: Any) -> None:
        """See to it that those that have not run do not; the arguments are those of ``AsyncResult.revoke``."""
        self.app.control.revoke([one.id for one in self.leaves()], **_renamed(options))

    async def arevoke(self, **options: Any) -> None:
        """See to it that those that have not run do not; the awaitable twin of :meth:`revoke`."""
        await self.app.control.arevoke([one.id for one in self.leaves()], **_renamed(options))

    def forget(self) -> None:
        """Remove all results from the store."""
        for one in self.leaves():
            one.forget()

    async def aforget(self) -> None:
        """Remove all results from the store; the awaitable twin of :meth:`forget`."""
        for one in self.leaves():
            await one.aforget()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and cast("Any", other).results == self.results

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(str(one.id) for one in self.results)}]>"


class GroupResult(ResultSet):
    """The results of a group that was sent.

    Args:
        id: The group's id.
        results: Its results.
        parent: The result that it follows.
        app: Default: that of the first result.
    """

    def __init__(
        self,
        id: str,
        results: Iterable[Any] = (),
        parent: Any = None,
        app: Celeriac | None = None,
        **_: Any,
    ) -> None:
        super().__init__(results, app)
        self.id = id
        self.parent = parent

    @property
    def children(self) -> list[Any]:
        """Its results."""
        return self.results

    def save(self, backend: Any = None) -> Self:
        """Keep the ids, so that :meth:`restore` finds them by the group's id; return the result itself."""
        (backend if backend is not None else self.backend).store([self._saved()])
        return self

    async def asave(self) -> Self:
        """Keep the ids; the awaitable twin of :meth:`save`."""
        await self.app.async_backend().store([self._saved()])
        return self

    def _saved(self) -> StoredResult:
        app = self.app
        expires, now = app.conf.result_expires or None, app.clock.now()
        return StoredResult(
            id=_saved_id(self.id),
            state=state.SUCCESS,
            body=msgspec.json.encode(self.as_tuple()),
            date_done=now,
            expires=None if expires is None else now + expires,
        )

    def delete(self, backend: Any = None) -> None:
        """Remove what :meth:`save` kept."""
        (backend if backend is not None else self.backend).discard([_saved_id(self.id)])

    async def adelete(self) -> None:
        """Remove what :meth:`asave` kept."""
        await self.app.async_backend().discard([_saved_id(self.id)])

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: Celeriac | None = None) -> GroupResult | None:
        """Return the saved result of a group; None if there is none."""
        own = app if app is not None else process.get_current()
        found = (backend if backend is not None else own.backend).fetch([_saved_id(id)])
        return _restored(found, own)

    @classmethod
    async def arestore(cls, id: str, app: Celeriac | None = None) -> GroupResult | None:
        """Return the saved result of a group; the awaitable twin of :meth:`restore`."""
        own = app if app is not None else process.get_current()
        return _restored(await own.async_backend().fetch([_saved_id(id)]), own)

    def as_tuple(self) -> tuple[Any, ...]:
        """Return a plain value from which :func:`result_from_tuple` makes the result again."""
        parent = None if self.parent is None else self.parent.as_tuple()
        return (self.id, parent), [one.as_tuple() for one in self.results]

    def as_list(self) -> list[str]:
        """Return the ids of this group and its parents."""
        return [self.id, *(self.parent.as_list() if self.parent is not None else ())]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results
        return NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupResult, (self.id, self.results, self.parent)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(str(one.id) for one in self.results)}]>"


def _saved_id(id: str) -> str:
    return f"group-{id}"


def _restored(found: list[StoredResult], app: Celeriac) -> GroupResult | None:
    if not found:
        return None
    result = result_from_tuple(msgspec.json.decode(found[0].body), app)
    if not isinstance(result, GroupResult):
        raise CeleriacError(f"what is kept as {found[0].id} is no group")
    return result


def _states(leaves: list[AsyncResult[Any]], stored: dict[str, StoredResult]) -> list[str]:
    found: list[str] = []
    for one in leaves:
        if one.over:
            found.append(one.state)
            continue
        known = stored.get(one.id)
        if known is not None and known.state in state.READY_STATES:
            one.remember(known)
        found.append(state.PENDING if known is None else known.state)
    return found


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    given = dict(options)
    given.pop("connection", None)
    if "wait" in given:
        given["reply"] = given.pop("wait")
    return given


def _of_group(id: str, results: list[Any], parent: Any, app: Celeriac | None) -> GroupResult:
    return GroupResult(id, results, parent, app=app)


AsyncResult.of_group = staticmethod(_of_group)
