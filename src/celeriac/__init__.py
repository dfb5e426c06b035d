"""Celeriac: a distributed task queue with the Celery API and a new engine.

::

    from celeriac import Celeriac

    app = Celeriac("proj")


    @app.task
    def add(x: int, y: int) -> int:
        return x + y
"""

from celeriac.app.app import Celeriac
from celeriac.app.canvas import Signature, signature
from celeriac.app.current import current_app, current_task, shared_task
from celeriac.app.result import AsyncResult
from celeriac.app.task import Task
from celeriac.core.ids import new_id as uuid

__all__ = [
    "AsyncResult",
    "Celeriac",
    "Celery",
    "Signature",
    "Task",
    "__version__",
    "current_app",
    "current_task",
    "shared_task",
    "signature",
    "uuid",
]

__version__ = "0.1.0"

Celery = Celeriac
"""The app's class under the name that Celery's users know."""
