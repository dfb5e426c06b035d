"""Celeriac: a distributed task queue with the Celery API and a new engine.

::

    from celeriac import Celeriac

    app = Celeriac("proj")


    @app.task
    def add(x: int, y: int) -> int:
        return x + y
"""

from typing import TYPE_CHECKING, Any, Final

from celeriac.app.app import Celeriac
from celeriac.app.canvas import Signature, maybe_signature, signature
from celeriac.app.current import current_app, current_task, shared_task
from celeriac.app.group_result import GroupResult, ResultSet
from celeriac.app.result import AsyncResult
from celeriac.app.task import Task
from celeriac.app.workflows import chain, chord, chunks, group, xmap, xstarmap
from celeriac.core.ids import new_id as uuid
from celeriac.core.queues import Broadcast, Exchange, Queue, binding

__all__ = [
    "AsyncResult",
    "Broadcast",
    "Celeriac",
    "Celery",
    "Exchange",
    "GroupResult",
    "Queue",
    "ResultSet",
    "Signature",
    "Task",
    "__version__",
    "binding",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "uuid",
    "xmap",
    "xstarmap",
]

__version__ = "0.1.0"

Celery = Celeriac
"""The app's class under the name that Celery's users know."""

_LATER: Final = {
    "beat": "schedulers of one's own: use app.schedule and `celeriac beat`",
}

if not TYPE_CHECKING:  # or type checkers would believe in every name

    def __getattr__(name: str) -> Any:
        """Say what becomes of a name of Celery that is not there yet. An AttributeError would lose this on import."""
        if name in _LATER:
            what, _, instead = _LATER[name].partition(": ")
            raise ImportError(f"celeriac.{name} comes in a later version, with {what}; until then {instead}", name=name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
