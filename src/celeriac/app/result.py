"""Handles on what was sent: AsyncResult by id, and EagerResult for what ran here.

A handle holds an id, not a value; it asks the result store each time, until the task is over, and remembers then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from celeriac.app import state as process
from celeriac.app import waiting
from celeriac.app.reading import meta_of, moment_of, value_of
from celeriac.app.waiting import Watch
from celeriac.core import state
from celeriac.errors import CeleriacError, IncompleteStream
from celeriac.execution.context import current_request

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.core.message import StoredResult
    from celeriac.results import SyncResults

if TYPE_CHECKING:
    # For type checkers AsyncResult alone is AsyncResult[Any]; at run time nobody asks.
    from typing_extensions import TypeVar as TypeVarWithDefault

    R_co = TypeVarWithDefault("R_co", covariant=True, default=Any)
else:
    R_co = TypeVar("R_co", covariant=True)

_joining_allowed: ContextVar[bool] = ContextVar("celeriac_joining_allowed", default=False)


@contextmanager
def allow_join_result() -> Generator[None]:
    """Allow ``get()`` inside a task: it holds the task's slot while it waits for another."""
    token = _joining_allowed.set(True)
    try:
        yield
    finally:
        _joining_allowed.reset(token)


def check_joinable(disable_sync_subtasks: bool) -> None:
    """Pass if waiting for a result is allowed here.

    Raises:
        RuntimeError: This is inside a task, and nobody said that it may wait.
    """
    if not disable_sync_subtasks or _joining_allowed.get():
        return
    request = current_request.get()
    if request is None or request.called_directly:
        return
    raise RuntimeError(
        f"task {request.task}[{request.id}] waits for the result of another task with get(): while it waits it holds a"
        " slot that the other may need, so both can wait for ever. Send the rest of the work with link= instead, or, if"
        " workers have slots to spare, say get(disable_sync_subtasks=False) or use `with allow_join_result():`"
    )


class AsyncResult(Generic[R_co]):
    """The result of a task that was sent, by its id.

    Args:
        id: The task id.
        backend: The result store to ask; default: the app's.
        task_name: The task's name, where it is known.
        app: Default: the current app.
        parent: The result that this one follows.

    Every read raises ResultStoreDisabled if the app has no result backend, and OperationalError if it cannot be
    reached.
    """

    __slots__ = ("__weakref__", "_app", "_backend", "_known", "_task_name", "id", "ignored", "parent")

    of_group: ClassVar[Callable[..., Any]]
    """Makes the result of a group."""

    def __init__(
        self,
        id: str,
        backend: SyncResults | None = None,
        task_name: str | None = None,
        app: Celeriac | None = None,
        parent: Any = None,
    ) -> None:
        if not id:
            raise ValueError("AsyncResult needs the id of a task, and it is empty")
        self.id = id
        self.parent = parent
        self.ignored = False
        """The sender said that no result is kept; ``get()`` returns None at once."""
        self._app = app
        self._backend = backend
        self._task_name = task_name
        self._known: StoredResult | None = None

    # Where things are.

    @property
    def app(self) -> Celeriac:
        return self._app or process.get_current()

    @property
    def backend(self) -> SyncResults:
        """The result store."""
        return self._backend if self._backend is not None else self.app.backend

    @property
    def task_id(self) -> str:
        """The task id."""
        return self.id

    @property
    def over(self) -> bool:
        """Whether this handle knows how the task ended, or that nobody will; asks nobody."""
        return self._known is not None or self.ignored

    def remember(self, stored: StoredResult) -> None:
        """Take in how the task ended."""
        self._known = stored

    # How far the task is.

    @property
    def state(self) -> str:
        """The state: what the result store has, else what the broker says, else PENDING.

        PENDING is also what a task that nobody sent, or whose result expired, is in.
        """
        stored = self._look()
        if stored is None:
            stored_state = self._broker_state()
            if stored_state is not None:
                return stored_state
            # It may have ended between the two looks.
            stored = self._look()
        return state.PENDING if stored is None else stored.state

    status = state

    async def astate(self) -> str:
        """Return the state; the awaitable twin of :attr:`state`."""
        stored = await self._alook()
        if stored is None:
            app = self.app
            if app.results_share_broker:
                records = await app.async_broker().get([self.id])
                if records:
                    return records[0].state
            stored = await self._alook()
        return state.PENDING if stored is None else stored.state

    def ready(self) -> bool:
        """Return whether the task is over."""
        stored = self._look()
        return stored is not None and stored.state in state.READY_STATES

    async def aready(self) -> bool:
        """Return whether the task is over."""
        stored = await self._alook()
        return stored is not None and stored.state in state.READY_STATES

    def successful(self) -> bool:
        """Return whether the task is over and returned."""
        return self._look_state() == state.SUCCESS

    def failed(self) -> bool:
        """Return whether the task raised and is over."""
        return self._look_state() == state.FAILURE

    # What it came to.

    @property
    def result(self) -> Any:
        """The return value, the exception, or the meta of a custom state; None while there is nothing."""
        stored = self._look()
        return None if stored is None else value_of(stored, self.app)

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback as text, if the task raised."""
        stored = self._look()
        return None if stored is None else stored.traceback

    @property
    def date_done(self) -> datetime | None:
        """When the task was over, in the app's time zone."""
        stored = self._look()
        if stored is None or stored.state not in state.READY_STATES:
            return None
        return moment_of(stored.date_done, self.app.timezone)

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The results of the tasks that this one sent."""
        stored = self._look()
        return [] if stored is None else [AsyncResult(one, app=self._app) for one in stored.children]

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield what this task sent, what that sent, and so on, each with the result that it comes from.

        Args:
            intermediate: Pass over what tasks sent that are not over yet.

        Raises:
            IncompleteStream: A task is not over.
        """
        waiting: deque[tuple[Any, Any]] = deque([(None, self)])
        while waiting:
            parent, one = waiting.popleft()
            yield parent, one
            if one.ready():
                waiting.extend((one, child) for child in one.children)
            elif not intermediate:
                raise IncompleteStream(f"task {one.id} is not over, so what it sent is not known")

    def collect(self, timeout: float | None = None, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield this result and those of what it sent, and so on, each with its value; wait for each.

        Args:
            timeout: Seconds to wait for each; None waits without end.
            intermediate: As for :meth:`iterdeps`.
        """
        for _, one in self.iterdeps(intermediate):
            yield one, one.get(timeout=timeout)

    def get_leaf(self) -> Any:
        """Wait for this task, for what it sent, and so on; return the value of the last of them."""
        return [value for _, value in self.collect()][-1]

    @property
    def graph(self) -> dict[str, list[str]]:
        """The ids of what this task and those that it sent have sent, by the id of each; as far as it is known."""
        found: dict[str, list[str]] = {}
        for parent, one in self.iterdeps(intermediate=True):
            found.setdefault(one.id, [])
            if parent is not None:
                found[parent.id].append(one.id)
        return found

    @property
    def name(self) -> str | None:
        """The task's name."""
        if self._task_name is not None:
            return self._task_name
        stored = self._look()
        return None if stored is None else stored.task

    @property
    def task_name(self) -> str | None:
        """The task's name."""
        return self.name

    @property
    def args(self) -> str | None:
        """A short representation of the positional arguments."""
        stored = self._look()
        return None if stored is None else stored.args

    @property
    def kwargs(self) -> str | None:
        """A short representation of the keyword arguments."""
        stored = self._look()
        return None if stored is None else stored.kwargs

    @property
    def worker(self) -> str | None:
        """The node name of the worker that ran it last."""
        stored = self._look()
        return None if stored is None else stored.worker

    @property
    def queue(self) -> str | None:
        """The queue it was sent to."""
        stored = self._look()
        return None if stored is None else stored.queue

    @property
    def retries(self) -> int | None:
        """How often it was retried."""
        stored = self._look()
        return None if stored is None else stored.retries

    @property
    def runtime(self) -> float | None:
        """Seconds that the last run took."""
        stored = self._look()
        return None if stored is None else stored.runtime

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait until the task is over and return its value.

        Args:
            timeout: Seconds to wait; None waits without end.
            propagate: Raise the exception of a task that failed; False returns it.
            interval: Longest time in seconds between two looks at the store; default: the store wakes us.
            no_ack: Has no meaning here.
            follow_parents: Raise the exception of a failed parent first.
            callback: Called with the id and the value.
            on_message: Called with a dictionary for each state that is seen.
            on_interval: Called after each wait.
            disable_sync_subtasks: False allows the call inside a task.

        Raises:
            TimeoutError: The task is not over in time.
            TaskRevokedError: It was revoked or had expired.
            RuntimeError: This is inside a task.
            Exception: What the task raised.
        """
        if self.ignored:
            return cast("R_co", None)
        check_joinable(disable_sync_subtasks)
        if propagate and follow_parents and self.parent is not None:
            self._throw_of_parents()
        if self._known is None:
            waiting.wait(self.backend, self._watch(timeout, interval, on_message), on_interval)
        return self._finish(propagate, callback)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait until the task is over and return its value; the awaitable twin of :meth:`get`."""
        if self.ignored:
            return cast("R_co", None)
        check_joinable(disable_sync_subtasks)
        if propagate and follow_parents and self.parent is not None:
            await self._athrow_of_parents()
        if self._known is None:
            await waiting.await_(self.app.async_backend(), self._watch(timeout, interval, on_message), on_interval)
        return self._finish(propagate, callback)

    wait = get

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        """Return the value so far; raise the task's exception if it failed."""
        stored = self._look()
        if stored is None:
            return None
        return self._outcome(stored, propagate, callback)

    async def amaybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        """Return the value so far; the awaitable twin of :meth:`maybe_throw`."""
        stored = await self._alook()
        if stored is None:
            return None
        return self._outcome(stored, propagate, callback)

    maybe_reraise = maybe_throw

    # Doing something about it.

    def revoke(
        self,
        connection: None = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """See to it that the task does not run, or not again.

        Args:
            connection: Has no meaning here.
            terminate: If it runs, end the process that runs it.
            signal: The signal to end it with; default TERM.
            wait: Wait until running workers have answered.
            timeout: Seconds to wait for them; default 1.
        """
        self.app.control.revoke(self.id, terminate=terminate, signal=signal, reply=wait, timeout=timeout)

    async def arevoke(
        self,
        connection: None = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """See to it that the task does not run; the awaitable twin of :meth:`revoke`."""
        await self.app.control.arevoke(self.id, terminate=terminate, signal=signal, reply=wait, timeout=timeout)

    def forget(self) -> None:
        """Remove the result from the store."""
        self._known = None
        self.backend.discard([self.id])

    async def aforget(self) -> None:
        """Remove the result from the store; the awaitable twin of :meth:`forget`."""
        self._known = None
        await self.app.async_backend().discard([self.id])

    # As a value.

    def as_tuple(self) -> tuple[Any, ...]:
        """Return ``((id, parent), None)``, from which :func:`result_from_tuple` makes the result again."""
        line: list[Any] = [self]
        while isinstance(line[-1], AsyncResult) and line[-1].parent is not None:
            line.append(line[-1].parent)
        above: Any = None if isinstance(line[-1], AsyncResult) else line.pop().as_tuple()
        for one in reversed(line):
            above = ((one.id, above), None)
        return cast("tuple[Any, ...]", above)

    def as_list(self) -> list[str]:
        """Return the ids of this result and its parents."""
        found: list[str] = []
        one: Any = self
        while one is not None:
            found.append(one.id)
            one = one.parent
        return found

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return bool(self.id == other.id)
        if isinstance(other, str):
            return self.id == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __copy__(self) -> AsyncResult[R_co]:
        return AsyncResult(self.id, self._backend, self._task_name, self._app, self.parent)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncResult, (self.id, None, self._task_name, None, self.parent)

    # How it looks.

    def _look(self) -> StoredResult | None:
        if self._known is not None:
            return self._known
        found = self.backend.fetch([self.id])
        return self._take(found[0]) if found else None

    async def _alook(self) -> StoredResult | None:
        if self._known is not None:
            return self._known
        found = await self.app.async_backend().fetch([self.id])
        return self._take(found[0]) if found else None

    def _take(self, stored: StoredResult) -> StoredResult:
        if stored.state in state.READY_STATES:
            self._known = stored
        return stored

    def _look_state(self) -> str | None:
        stored = self._look()
        return None if stored is None else stored.state

    def _broker_state(self) -> str | None:
        app = self.app
        if not app.results_share_broker:
            return None
        records = app.broker.get([self.id])
        return records[0].state if records else None

    def _watch(
        self, timeout: float | None, interval: float | None, on_message: Callable[[dict[str, Any]], Any] | None
    ) -> Watch:
        def done(stored: StoredResult) -> None:
            self._known = stored
            if on_message is not None:
                on_message(meta_of(stored, self.app))

        def change(stored: StoredResult) -> None:
            if on_message is not None:
                on_message(meta_of(stored, self.app))

        on_change = None if on_message is None else change
        return Watch((self.id,), timeout=timeout, interval=interval, on_done=done, on_change=on_change)

    def _finish(self, propagate: bool, callback: Callable[[str, Any], Any] | None) -> R_co:
        assert self._known is not None
        return cast("R_co", self._outcome(self._known, propagate, callback))

    def _outcome(self, stored: StoredResult, propagate: bool, callback: Callable[[str, Any], Any] | None) -> Any:
        value = value_of(stored, self.app)
        if propagate and stored.state in state.PROPAGATE_STATES:
            raise value if isinstance(value, BaseException) else CeleriacError(f"task {self.id}: {value!r}")
        if callback is not None:
            callback(self.id, value)
        return value

    def _throw_of_parents(self) -> None:
        """Raise the exception of the first step before this one that failed; one look for all."""
        before = _before(self)
        unknown = [one for one in before if not one.over]
        known = {one.id: one for one in self.backend.fetch([one.id for one in unknown])} if unknown else {}
        _throw(before, known)

    async def _athrow_of_parents(self) -> None:
        before = _before(self)
        unknown = [one for one in before if not one.over]
        ids = [one.id for one in unknown]
        _throw(before, {one.id: one for one in await self.app.async_backend().fetch(ids)} if ids else {})


def _before(result: AsyncResult[Any]) -> list[AsyncResult[Any]]:
    """Return the results of all steps before one, the first of them first."""
    found: list[AsyncResult[Any]] = []
    parent: Any = result.parent
    while parent is not None:
        found += reversed(parent.leaves()) if hasattr(parent, "leaves") else [parent]
        parent = parent.parent
    found.reverse()
    return found


def _throw(results: list[AsyncResult[Any]], known: dict[str, StoredResult]) -> None:
    for one in results:
        stored = known.get(one.id)
        if stored is not None and stored.state in state.READY_STATES:
            one.remember(stored)
        if one.over:
            one.maybe_throw()


def result_from_tuple(value: Any, app: Celeriac | None = None) -> Any:
    """Return the result that ``as_tuple()`` of a result, or of a group's, made ``value`` from.

    Raises:
        ValueError: It is nothing of that form.
    """
    if isinstance(value, AsyncResult) or hasattr(value, "leaves"):
        return value  # pyright: ignore[reportUnknownVariableType]
    try:
        found: Any = None
        levels: list[Any] = []
        while value:
            (task_id, parent), members = value
            levels.append((task_id, members))
            value = parent
        for task_id, members in reversed(levels):
            if members is None:
                found = AsyncResult(task_id, app=app, parent=found)
            else:
                found = AsyncResult.of_group(task_id, [result_from_tuple(one, app) for one in members], found, app)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{value!r:.200} is not ((id, parent), members), as as_tuple() returns it") from exc
    if found is None:
        raise ValueError(f"{value!r:.200} is not ((id, parent), members), as as_tuple() returns it")
    return found
