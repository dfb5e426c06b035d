"""Celery's beat with very many entries, told as :mod:`benchmarks.schedule` tells of Celeriac's scheduler."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from celery.beat import PersistentScheduler, Service
from celery.schedules import schedule

from benchmarks.schedule import PARTS, QUEUE, bind, windows

late: Counter[int] = Counter()


class CountingScheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery's own, which counts what it sends, and how late."""

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        due = (entry.last_run_at + entry.schedule.run_every).timestamp()
        result = super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        late[int(max(0.0, time.time() - due) * PARTS)] += 1
        return result


def make_app(url: str) -> Any:
    """Return the app."""
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE, task_ignore_result=True, worker_hijack_root_logger=False)
    return app


def throw_away(url: str, until: float) -> None:
    """Empty the queue, time and again, until this moment of the steady clock."""
    app = make_app(url)
    while time.monotonic() < until:
        with contextlib.suppress(Exception):  # There is no queue before the first message.
            app.control.purge()
        time.sleep(0.5)


def run(url: str, entries: tuple[int, float], seconds: float, window: float, told: Any) -> None:
    """Run beat with so many entries, each due every so many seconds, and tell what it did in each window."""
    bind()
    began = time.monotonic()
    app = make_app(url)
    count, every = entries
    app.conf.beat_schedule = {
        f"tick-{number:07d}": {
            "task": "bench.tick",
            "schedule": schedule(timedelta(seconds=every), app=app),
            "args": (number,),
        }
        for number in range(count)
    }
    with tempfile.TemporaryDirectory() as folder:
        service = Service(app, scheduler_cls=CountingScheduler, schedule_filename=str(Path(folder, "schedule")))
        thread = threading.Thread(target=service.start, daemon=True)
        thread.start()
        while not late and time.monotonic() < began + seconds:
            time.sleep(0.01)
        told.send(time.monotonic() - began)
        windows(late, began + seconds, window, told)
        told.send(None)
        service.stop(wait=False)
        thread.join(5.0)
