"""A web application that lets its users say when they want to be reminded, and reminds them.

It has no framework, so that nothing stands between the server and the schedule: one WSGI function.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from celeriac import Celeriac

folder = Path(os.environ.get("WEB_SCHEDULE_DIR", "."))
app = Celeriac("reminders", broker=f"sqlite:///{folder / 'tasks.db'}", backend=f"sqlite:///{folder / 'tasks.db'}")


@app.task(bind=True)
def remind(self: Any, whom: str) -> None:
    """Write down who was reminded, and for which due time."""
    with (folder / "reminded").open("a") as diary:
        diary.write(f"{whom} {self.request.headers['periodic_task_due']!r}\n")


def post_fork(server: object, worker: object) -> None:
    """Called by gunicorn in each of its processes: each is a scheduler, and one of them leads."""
    app.schedule.start_background()


def worker_exit(server: object, worker: object) -> None:
    """Called by gunicorn when one of its processes ends: another may lead at once."""
    app.schedule.stop_background()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """POST /reminders?NAME=SECONDS adds a reminder; GET / tells which process this is, and whether it leads."""
    if environ["REQUEST_METHOD"] == "POST":
        name, _, seconds = environ.get("QUERY_STRING", "").partition("=")
        app.schedule.add(f"remind {name}", remind, every=float(seconds), args=(name,), misfire="all")
        told: dict[str, Any] = {"added": name}
    else:
        scheduler = app.schedule.start_background()  # The one that runs already.
        told = {"pid": os.getpid(), "leads": scheduler.status.leads}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
