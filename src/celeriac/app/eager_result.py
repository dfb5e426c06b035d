"""The result of a task that ran in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from celeriac.app.result import AsyncResult, check_joinable
from celeriac.core import state
from celeriac.errors import CeleriacError

if TYPE_CHECKING:
    from celeriac.core.message import StoredResult

R_co = TypeVar("R_co", covariant=True)


class EagerResult(AsyncResult[R_co]):
    """The result of a task that ran in this process; it needs no result store.

    Args:
        id: The task id.
        ret_value: The return value or the exception.
        state: The state it ended in.
        traceback: Text, if it raised.
        name: The task's name.
    """

    __slots__ = ("_state", "_traceback", "_value")

    def __init__(
        self, id: str, ret_value: Any, state: str, traceback: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(id, task_name=name)
        self._value = ret_value
        self._state = state
        self._traceback = traceback

    @property
    def over(self) -> bool:
        return True

    @property
    def state(self) -> str:
        return self._state

    status = state

    @property
    def result(self) -> Any:
        return self._value

    info = result

    @property
    def traceback(self) -> str | None:
        return self._traceback

    @property
    def supports_native_join(self) -> bool:
        return False

    async def astate(self) -> str:
        return self._state

    def ready(self) -> bool:
        return True

    async def aready(self) -> bool:
        return True

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
        """Return the value, or raise the task's exception, or before it that of the first step that failed."""
        check_joinable(disable_sync_subtasks)
        if propagate and follow_parents and self.parent is not None:
            self._throw_of_parents()
        return cast("R_co", self.maybe_throw(propagate, callback))

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
        """Return the value, or raise the task's exception; the awaitable twin of :meth:`get`."""
        return self.get(
            propagate=propagate,
            follow_parents=follow_parents,
            callback=callback,
            disable_sync_subtasks=disable_sync_subtasks,
        )

    wait = get

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        if propagate and self._state in state.PROPAGATE_STATES:
            if isinstance(self._value, BaseException):
                raise self._value
            raise CeleriacError(f"task {self.id}: {self._value!r}")
        if callback is not None:
            callback(self.id, self._value)
        return self._value

    async def amaybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        return self.maybe_throw(propagate, callback)

    maybe_reraise = maybe_throw

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the task has run."""

    async def arevoke(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the task has run."""

    def forget(self) -> None:
        """Do nothing: nothing is stored."""

    async def aforget(self) -> None:
        """Do nothing: nothing is stored."""

    def __reduce__(self) -> tuple[Any, ...]:
        return EagerResult, (self.id, self._value, self._state, self._traceback, self._task_name)

    def _look(self) -> StoredResult | None:
        return None

    def _look_state(self) -> str | None:
        return self._state
