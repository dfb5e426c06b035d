"""What a worker answers to commands, as far as that needs no broker."""

from __future__ import annotations

from typing import Any

from celeriac import Celeriac
from celeriac.brokers.port import Command
from celeriac.core.security import COMMAND, Guard
from celeriac.events import Bus, SecurityRefused
from celeriac.worker.control import Control
from celeriac.worker.options import WorkerOptions


def test_a_worker_without_keys_obeys_no_command_that_it_cannot_read() -> None:
    """Its arguments are not there: it would do something else than it was told."""
    told: list[SecurityRefused] = []
    bus = Bus()
    bus.subscribe(SecurityRefused, told.append)
    handlers: Any = object()  # Nothing of it may be called.
    options = WorkerOptions(target="x", node="w@h", queues=("celery",))
    control = Control(
        app=Celeriac("deaf", broker="memory://deaf"), options=options, handlers=handlers, children=dict, bus=bus
    )
    command = Command(id="1", name="pool_grow", arguments={"n": 5})
    sealed = Guard(signing={}, encryption={"k": b"k" * 32}).seal(COMMAND, command, 1.0)
    answer = control.answer(sealed)
    assert answer["error"] == (
        "pool_grow is refused: it is encrypted, and this app has no security_encryption_keys to read it with"
    )
    assert [(one.kind, one.id) for one in told] == [("command", "1")]
