"""Every signal notes that it was sent: in which process, and of which task."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celeriac import Celeriac, Task, signals

FOLDER = Path(os.environ.get("SIGNALS_DIR", "."))
STORE = f"sqlite:///{FOLDER / 'queue.db'}"

app = Celeriac("signals", broker=STORE, backend=STORE)


def note(word: str, task_id: str | None = None) -> None:
    """Append a line to the notes; processes write whole lines."""
    with (FOLDER / "notes").open("a") as notes:
        notes.write(json.dumps([os.getpid(), task_id, word]) + "\n")


def id_of(sender: Any, named: dict[str, Any]) -> str | None:
    """Return the id of the task that a receiver is told of, wherever the signal has it."""
    if "headers" in named:  # before_task_publish and after_task_publish
        return str(named["headers"]["id"])
    if "result" in named:  # task_success names the task only by its sender.
        return str(sender.request.id)
    carrier = named.get("request") or named.get("message")
    return named.get("task_id") or getattr(carrier, "id", None)


def receiver(signal: signals.Signal, sender: Any, **named: Any) -> None:
    """Note any signal."""
    note(signal.name, id_of(sender, named))


for name in signals.__all__:
    one = getattr(signals, name)
    # A receiver of setup_logging would have to set up logging itself; some signals are never sent here.
    if name not in ("Signal", "setup_logging", "heartbeat_sent") and one.never is None:
        one.connect(receiver, weak=False)


@app.on_configure.connect
def configure(sender: Celeriac, **kwargs: Any) -> None:
    note("app.on_configure")


@app.on_after_configure.connect
def configured(sender: Celeriac, **kwargs: Any) -> None:
    note("app.on_after_configure")


@app.on_after_finalize.connect
def finalized(sender: Celeriac, **kwargs: Any) -> None:
    note("app.on_after_finalize")


@app.on_after_fork.connect
def forked(sender: Celeriac, **kwargs: Any) -> None:
    note("app.on_after_fork")


class Noting(Task[..., Any]):
    """A base class whose hooks are noted, too."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note("(before_start)", task_id)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note("(on_success)", task_id)

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note("(on_failure)", task_id)

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note("(on_retry)", task_id)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note("(after_return)", task_id)


@app.task(base=Noting, bind=True, max_retries=1)
def work(self: Any, *given: Any, fate: str = "returns") -> str:
    """Return, fail, or be retried once."""
    note("(the task's code)", self.request.id)
    if fate == "fails":
        raise ValueError("as planned")
    if fate == "is retried" and not self.request.retries:
        raise self.retry(countdown=0.2)
    return fate
