"""The base class of the example's tasks: it notes each run, by the hooks that every task has."""

from __future__ import annotations

import time
from typing import Any

from celeriac import Task
from examples.mosaic.app import folder
from examples.mosaic.runs import Run, note

_started: dict[str, float] = {}


class NotedTask(Task[..., Any]):
    """A task that notes each of its runs."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        _started[task_id] = time.monotonic()

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self._note(task_id, "SUCCESS")

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._note(task_id, "FAILURE")

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._note(task_id, "RETRY")

    def _note(self, task_id: str, state: str) -> None:
        seconds = time.monotonic() - _started.pop(task_id)
        note(folder.runs, Run(self.name.rpartition(".")[2], task_id, state, seconds))
