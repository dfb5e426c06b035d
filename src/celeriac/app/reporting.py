"""The part of a task that tells how far it is, and finds results."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac.app.result import AsyncResult as Result
from celeriac.app.running import Running
from celeriac.core import state as states
from celeriac.core.codec import encode
from celeriac.core.codec.exceptions import encode_exception
from celeriac.core.message import StoredResult
from celeriac.execution.results import check_size

if TYPE_CHECKING:
    from celeriac.results import SyncResults

_logger = logging.getLogger("celeriac.task")


class Reporting(Running):
    """``self.update_state()`` and what reads results."""

    result_serializer: str
    result_expires: float | None
    _told = False

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None, **more: Any) -> None:
        """Tell the result store how far the task is.

        Args:
            task_id: Default: the running task.
            state: Any name; Celery's, such as ``STARTED``, or one of your own, such as ``"PROGRESS"``.
            meta: What ``AsyncResult.info`` shall return.
            **more: Has no meaning; accepted as Celery accepts it.

        Raises:
            ValueError: There is neither a ``task_id`` nor a running task, or no ``state``.
            SerializationError: ``meta`` cannot be encoded.
        """
        if self._reports():
            stored = self._stored(task_id, state, meta)
            if stored.state in states.READY_STATES:
                self.app.backend.store([stored])
            else:
                self.app.backend.progress([stored])

    async def aupdate_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **more: Any
    ) -> None:
        """Tell the result store how far the task is; the awaitable twin of :meth:`update_state`."""
        if self._reports():
            stored = self._stored(task_id, state, meta)
            backend = self.app.async_backend()
            if stored.state in states.READY_STATES:
                await backend.store([stored])
            else:
                await backend.progress([stored])

    def AsyncResult(self, task_id: str, **kwargs: Any) -> Result[Any]:
        """Return the result of a run of this task by its id."""
        return Result(task_id, task_name=self.name, app=self.app, **kwargs)

    @property
    def backend(self) -> SyncResults:
        """The result store; reading raises ResultStoreDisabled where there is none."""
        return self.app.backend

    def _reports(self) -> bool:
        """Tell whether there is anybody to tell."""
        if self.request.is_eager:
            return False
        if not self.app.results_enabled:
            if not self._told:
                self._told = True
                _logger.warning(
                    "task %s calls update_state, which does nothing: the app has no result backend", self.name
                )
            return False
        return True

    def _stored(self, task_id: str | None, state: str | None, meta: Any) -> StoredResult:
        request = self.request
        found = task_id or request.id
        if not found:
            raise ValueError(f"update_state of task {self.name!r} needs task_id= outside of a run of the task")
        if not state:
            raise ValueError(f"update_state of task {self.name!r} needs state=, such as state='PROGRESS'")
        if isinstance(meta, BaseException):
            meta = encode_exception(meta)
        subject = f"the meta of task {self.name!r}"
        encoded = encode(meta, self.result_serializer, subject=subject)
        check_size(encoded.body, subject, self.app.conf.result_max_bytes)
        now = self.app.clock.now()
        own = request.id == found
        message = request.message if own else None
        return StoredResult(
            id=found,
            state=state,
            body=encoded.body,
            content_type=encoded.content_type,
            content_encoding=encoded.content_encoding,
            date_done=now,
            task=self.name,
            args=None if message is None else message.argsrepr,
            kwargs=None if message is None else message.kwargsrepr,
            queue=None if message is None else message.queue,
            worker=request.hostname if own else None,
            retries=request.retries if own else 0,
            root_id=request.root_id if own else None,
            parent_id=request.parent_id if own else None,
            group=request.group if own else None,
            expires=None if not self.result_expires else now + self.result_expires,
        )
