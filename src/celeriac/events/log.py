"""Turns events into log lines.

One INFO line when a task is received, one when it is done with its run time; failures are errors with their traceback,
by default and without any setting. The task loggers are children of ``celeriac``, which the worker alone configures;
a root logger that is already configured is never touched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from celeriac.core.codec.reprs import saferepr
from celeriac.events.bus import Bus
from celeriac.events.lines import Lines
from celeriac.events.names import (
    ChildExited,
    ChildStarted,
    EntriesFired,
    EntryDoubted,
    EntryFailed,
    HookFailed,
    LeaseLost,
    SchedulerLed,
    SecurityRefused,
    ServiceFailed,
    ServiceRecovered,
    ShutdownPhase,
    StraysFound,
    TaskDead,
    TaskEvent,
    TaskFailed,
    TaskIgnored,
    TaskParked,
    TaskReceived,
    TaskReleased,
    TaskRetried,
    TaskRevoked,
    TaskSucceeded,
    TroubleFound,
    WorkerReady,
)

tasks = logging.getLogger("celeriac.task")
worker = logging.getLogger("celeriac.worker")
scheduler = logging.getLogger("celeriac.scheduler")
security = logging.getLogger("celeriac.security")

_SUCCEEDED = "Task %s[%s] succeeded in %.6fs: %s"
_VALUE_LIMIT = 200
_LINES = 20
"""Runs of one step that get a line each."""


def subscribe(bus: Bus, *, gather: bool = False) -> None:
    """Log what this bus emits, as far as the loggers' levels let it through.

    Args:
        bus: Where events come from.
        gather: The lines of tasks that are received and succeed may wait for the next :meth:`Bus.flush`.
    """
    if tasks.isEnabledFor(logging.INFO):
        info: Callable[..., None] = tasks.info
        if gather:
            lines = Lines(tasks)
            info = lines.info
            bus.at_flush(lines.flush)
        bus.subscribe(TaskReceived, lambda e: info("Task %s[%s] received", *_label(e)))
        bus.subscribe(TaskSucceeded, lambda e: info(_SUCCEEDED, *_label(e), e.runtime, _value(e.value)))
        bus.subscribe(TaskIgnored, lambda e: tasks.info("Task %s[%s] ignored", *_label(e)))
        bus.subscribe(TaskRetried, _retried)
    if tasks.isEnabledFor(logging.DEBUG):
        bus.subscribe(TaskReleased, lambda e: tasks.debug("Task %s[%s] given back: %s", *_label(e), e.reason))
    if scheduler.isEnabledFor(logging.INFO):
        bus.subscribe(EntriesFired, _fired)
        bus.subscribe(SchedulerLed, _led)
    bus.subscribe(EntryFailed, _entry_failed)
    bus.subscribe(EntryDoubted, _entry_doubted)
    bus.subscribe(TaskFailed, _failed)
    bus.subscribe(TaskRevoked, lambda e: tasks.warning("Task %s[%s] revoked: %s", *_label(e), e.reason))
    bus.subscribe(TaskParked, _parked)
    bus.subscribe(TaskDead, lambda e: tasks.error("Task %s[%s] is a dead letter now: %s", *_label(e), e.reason))
    bus.subscribe(HookFailed, lambda e: tasks.error("Task %s[%s]: %s failed\n%s", *_label(e), e.hook, e.traceback))
    bus.subscribe(ServiceFailed, _service_failed)
    bus.subscribe(ServiceRecovered, lambda e: worker.warning("%s works again after %.1fs", e.service, e.outage))
    bus.subscribe(ChildStarted, lambda e: worker.info("child %s (pid %d) started", e.owner, e.pid))
    bus.subscribe(ChildExited, _child_exited)
    bus.subscribe(LeaseLost, _lease_lost)
    bus.subscribe(SecurityRefused, _security_refused)
    bus.subscribe(ShutdownPhase, lambda e: worker.warning("shutdown: %s", e.phase))
    bus.subscribe(StraysFound, _strays_found)
    bus.subscribe(TroubleFound, _trouble_found)
    bus.subscribe(WorkerReady, lambda e: worker.info("%s ready.", e.node))


def _label(event: TaskEvent) -> tuple[str, str]:
    """Return name and id as they may stand in a line: a sender must not be able to forge another one."""
    return _printable(event.name), _printable(event.id)


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _value(value: object) -> str:
    return "None" if value is None else saferepr(value, _VALUE_LIMIT, levels=10)


def _shown(value: object) -> str:
    """Return ``repr(value)``; one that raises must not cost its event the line."""
    try:
        return repr(value)
    except Exception:
        return f"<unprintable {type(value).__name__}>"


def _retried(event: TaskRetried) -> None:
    reason = _shown(event.exception)
    tasks.info("Task %s[%s] retry %d in %.1fs: %s", *_label(event), event.retries, event.delay, reason)
    if event.traceback:
        tasks.debug("Task %s[%s] raised\n%s", *_label(event), event.traceback)


def _failed(event: TaskFailed) -> None:
    reason = _shown(event.exception)
    if event.expected:
        tasks.info("Task %s[%s] raised expected: %s", *_label(event), reason)
        return
    tasks.error(
        "Task %s[%s] failed in %.6fs: %s\nargs: %s kwargs: %s\n%s",
        *_label(event),
        event.runtime,
        reason,
        event.args,
        event.kwargs,
        event.traceback or "",
    )


def _parked(event: TaskParked) -> None:
    tasks.error(
        "Task %s[%s] is not registered here; its message is parked and looked at again in %.1fs, and becomes a dead"
        " letter in %.1fs. Did the module that defines it get imported (include=, imports, autodiscover_tasks)?",
        *_label(event),
        event.delay,
        event.left,
    )


def _service_failed(event: ServiceFailed) -> None:
    worker.warning("%s: %s; trying again in %.1fs", event.service, event.error, event.retry_in)


def _trouble_found(event: TroubleFound) -> None:
    write = worker.error if event.level == "error" else worker.warning
    write("%s, %s: %s; %s", event.store, event.subject, event.text, event.remedy)


def _child_exited(event: ChildExited) -> None:
    write = worker.info if event.expected else worker.error
    write("child %s (pid %d) ended: %s", event.owner, event.pid, event.reason)


def _security_refused(event: SecurityRefused) -> None:
    label = _printable(event.name), _printable(event.id)
    security.error("refused %s %s[%s]: %s", event.kind, *label, _printable(event.reason))


def _lease_lost(event: LeaseLost) -> None:
    if not event.ids:
        worker.warning("the lease of %s had run out; what it held is others' to run now", event.owner)
        return
    worker.warning(
        "the lease of %s was taken over; %d task(s) run elsewhere now: %s",
        event.owner,
        len(event.ids),
        ", ".join(event.ids[:5]),
    )


def _strays_found(event: StraysFound) -> None:
    worker.warning(
        "the broker held %d task(s) for %s that it did not know of; they are given back: %s",
        len(event.ids),
        event.owner,
        ", ".join(event.ids[:5]),
    )


def _fired(event: EntriesFired) -> None:
    if len(event.runs) > _LINES:
        scheduler.info("Sent %d tasks that were due, %.3fs late", len(event.runs), event.lateness)
        return
    for entry, task, id in event.runs:
        scheduler.info("Sent due task %s (%s[%s])", _printable(entry), _printable(task), id)


def _led(event: SchedulerLed) -> None:
    scheduler.info("%s leads" if event.leads else "%s leads no more", event.holder)


def _entry_failed(event: EntryFailed) -> None:
    scheduler.error("schedule entry %s is put aside until it is changed: %s", _printable(event.name), event.reason)


def _entry_doubted(event: EntryDoubted) -> None:
    scheduler.warning("schedule entry %s: %s", _printable(event.name), event.reason)
