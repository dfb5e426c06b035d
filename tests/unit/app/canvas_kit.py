"""Tasks for workflows, and what a workflow of them comes to."""

from __future__ import annotations

from typing import Any

from celeriac import Celeriac, Signature
from tests.unit.app.conftest import HandWorker


class Canvas:
    """Tasks of an app, and what a workflow of them comes to in one of two ways."""

    def __init__(self, app: Celeriac, worker: HandWorker, *, eager: bool) -> None:
        self.app = app
        self.worker = worker
        self.eager = eager
        self.told: list[Any] = []
        app.conf.task_always_eager = eager

        @app.task(name="add")
        def add(x: int, y: int) -> int:
            return x + y

        @app.task(name="total")
        def total(values: list[Any]) -> int:
            return sum(total.run(one) if isinstance(one, list) else one for one in values)

        @app.task(name="seen")
        def seen(*args: Any, **kwargs: Any) -> list[Any]:
            return [*args, *map(list, kwargs.items())]

        @app.task(name="bad")
        def bad(*args: Any) -> None:
            raise ValueError("bad")

        @app.task(name="tell")
        def tell(*args: Any) -> None:
            self.told.append(args)

        @app.task(name="report")
        def report(task_id: str, word: str) -> None:
            self.told.append((task_id, word))

        self.report = report
        self.add, self.total, self.seen, self.bad, self.tell = add, total, seen, bad, tell

    def send(self, workflow: Signature, *args: Any, **options: Any) -> Any:
        """Send it, let everything run, and return its result."""
        result = workflow.apply_async(args, **options)
        if not self.eager:
            self.worker.run(limit=2000)
        return result

    def value(self, workflow: Signature, *args: Any, **options: Any) -> Any:
        return self.send(workflow, *args, **options).get(timeout=1)
