"""One delivery at a time, run by hand: for tests of what a run ends in."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable
from typing import Any

from celeriac import Celeriac, Task
from celeriac.brokers.port import Record
from celeriac.core.codec import encode_args
from celeriac.core.message import Delivery, Lease, Message, Settlement
from celeriac.events import names
from celeriac.events.names import Event
from celeriac.execution.call import aexecute, execute, open_call
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings
from celeriac.testing.clock import VirtualClock

EVENTS = [kind for kind in vars(names).values() if isinstance(kind, type) and issubclass(kind, Event)]

_numbers = itertools.count()


def listen(surroundings: Surroundings) -> list[Event]:
    """Return a list to which every event of these surroundings is added."""
    heard: list[Event] = []
    for kind in EVENTS:
        surroundings.bus.subscribe(kind, heard.append)
    return heard


class Bench:
    """An app in memory, and runs of its tasks.

    Args:
        results: Keep results.
        **settings: Settings of the app.
    """

    def __init__(self, *, results: bool = True, **settings: Any) -> None:
        url = f"memory://bench-{os.getpid()}-{next(_numbers)}"
        self.clock = VirtualClock()
        self.app = Celeriac(
            "bench", broker=url, backend=url if results else None, clock=self.clock, set_as_current=False, **settings
        )
        self._surroundings: Surroundings | None = None
        self._events: list[Event] = []

    @property
    def surroundings(self) -> Surroundings:
        """What all runs share; made when first asked for, after the tasks."""
        if self._surroundings is None:
            self._surroundings = self.app.worker_surroundings("bench@test")
            self._events = listen(self._surroundings)
        return self._surroundings

    def task(self, **options: Any) -> Callable[[Callable[..., Any]], Task[..., Any]]:
        """``app.task`` with the name ``work``, unless another is given."""
        define: Any = self.app.task
        decorator: Callable[[Callable[..., Any]], Task[..., Any]] = define(**{"name": "work", **options})
        return decorator

    def delivery(
        self, *args: Any, embed: dict[str, Any] | None = None, crashes: int = 0, cancelled: bool = False, **fields: Any
    ) -> Delivery:
        """Return a delivery of task ``work`` with these arguments; ``fields`` are those of its message."""
        body = encode_args(args, fields.pop("kwargs", {}), embed).body
        message = Message(**{"id": "id-1", "task": "work", "body": body, **fields})
        return Delivery(message, Lease(message.id, "owner", 7, 3), crashes, crashes > 0, b"", cancelled)

    def settle(self, delivery: Delivery, guard: Callable[[Any], Any] | None = None) -> Settlement:
        """Open and run a delivery; return its settlement."""
        call = open_call(delivery, self.surroundings)
        if isinstance(call, Settlement):
            return call
        assert isinstance(call, Call)
        if call.task.is_async:
            return asyncio.run(aexecute(call, self.surroundings, guard))
        return execute(call, self.surroundings, guard)

    def run(self, *args: Any, **fields: Any) -> Settlement:
        """Run task ``work`` with these arguments."""
        return self.settle(self.delivery(*args, **fields))

    def events(self, kind: type[Event]) -> list[Any]:
        """Return the events of a type so far."""
        return [event for event in self._events if type(event) is kind]

    def event_names(self) -> list[str]:
        """Return the names of the events so far, in order."""
        return [type(event).__name__ for event in self._events]


def stored(settlement: Settlement) -> tuple[str, Any]:
    """Return (state, value) of what a settlement stores."""
    assert settlement.result is not None
    return settlement.result.state, json.loads(settlement.result.body)


def error(settlement: Settlement) -> tuple[str, str, str]:
    """Return (state, type, text) of the exception that a settlement stores."""
    name, value = stored(settlement)
    return name, value["exc_type"], " ".join(str(part) for part in value["exc_message"])


def record_of(delivery: Delivery, state: str = "RECEIVED") -> Record:
    """Return what the broker would say of a delivery."""
    return Record(
        id=delivery.lease.id,
        state=state,
        queue="celery",
        message=delivery.message,
        raw=delivery.raw,
        owner=delivery.lease.owner,
        token=delivery.lease.token,
        crashes=delivery.crashes,
    )
