"""What is wrong with a broker or result store, and with the work in it: the findings behind ``celeriac doctor``.

Guarantees: nothing is written, except by :func:`try_out`, which cleans up after itself. A store that cannot be reached
or read is a finding, not an exception. Nothing that a store holds is trusted to be what Celeriac would have put there.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, Final, TypeVar

import msgspec

from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import LEVELS, Capabilities, Finding, Level, QueueStats, Record, WorkerRecord
from celeriac.brokers.rules import queues_of
from celeriac.core import state
from celeriac.core.clock import Clock
from celeriac.core.ids import new_id
from celeriac.core.message import Message, Settlement, StoredResult
from celeriac.core.redact import redact_url
from celeriac.errors import BrokerError, CeleriacError, SchemaError
from celeriac.results import SyncResults

T = TypeVar("T")
Broker = SyncBroker[Any, Any]

ROUNDS: Final = 20
"""Round trips that are timed."""
SLOW: Final = 0.010
VERY_SLOW: Final = 0.100
"""Seconds for a round trip, from which on it is worth a word, and a warning."""
ASKEW: Final = 2.0
"""Seconds between two clocks, from which on etas and expiry are visibly off."""
LATE: Final = 60.0
"""Seconds for which something that workers do at once must have been left undone to count."""
LONG_WAIT: Final = 3600.0
SILENT: Final = 5.0
"""Seconds since the last heartbeat of a worker, which comes every two."""
LOOKED_AT: Final = 500
"""Most messages of a kind that are looked at."""
PATIENCE: Final = 5.0
"""Longest seconds that the trial waits to be woken."""
_RUNNING: Final = (state.RECEIVED, state.STARTED)
_DELAYED: Final = (state.SCHEDULED, state.RETRY)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the highest level of the findings; ``ok`` if there are none."""
    return LEVELS[max((LEVELS.index(finding.level) for finding in findings), default=0)]


def examine_store(store: SyncResults | Broker, clock: Clock) -> list[Finding]:
    """Tell about the store itself: what it finds wrong with itself, how fast it is, what time it has.

    Args:
        store: A broker or a result store.
        clock: The clock of this machine.
    """
    found: list[Finding] = []
    try:
        found += store.examine()
        if _has_time(store):
            found += _timed(store, clock)
    except CeleriacError as exc:
        # Where that is because of what has been found, it has been said.
        if worst(found) != "error":
            found.append(_unreachable(exc))
    return found


def examine_broker(broker: Broker, clock: Clock) -> list[Finding]:
    """Tell about a broker: the store itself, and what of the work in it is stuck.

    Args:
        broker: The broker.
        clock: The clock of this machine.
    """
    try:
        try:
            version = broker.verify()
        except SchemaError as exc:
            # Whether a server is fit for use is asked before the first worker is started, too.
            store = examine_store(broker, clock)
            return [_unreachable(exc), *(finding for finding in store if finding.subject != "connection")]
        except BrokerError as exc:
            # It answers, and refuses: why, the store may know better than the error says.
            store = examine_store(broker, clock)
            return store if worst(store) == "error" else [_unreachable(exc), *store]
        found = [_found("connection", f"the store answers, and has version {version} of the schema")]
        if not broker.capabilities.stored:
            found.clear()  # Whether the server answers is yet to be seen.
        found += examine_store(broker, clock)
        return found if worst(found) == "error" else [*found, *_examine_work(broker)]
    except CeleriacError as exc:
        return [_unreachable(exc)]


def try_out(broker: Broker) -> list[Finding]:
    """Send a task through a queue of its own, as a sender and as a worker would, and tell how long each step took.

    No other worker sees the task, and its queue, its result and its owner are gone afterwards, a queue in RabbitMQ ten
    seconds later. What stays is its place in the counts of finished tasks, under the name ``celeriac.doctor``.

    Args:
        broker: The broker; its schema must be there.
    """
    id = new_id()
    queue = owner = f"celeriac.doctor.{id}"
    try:
        waiter = broker.waiter()
        try:
            return _sent_through(broker, waiter.wait, Message(id=id, task="celeriac.doctor", queue=queue), owner)
        finally:
            waiter.close()
            broker.purge(queue)
            broker.purge(queue, dead=True)
            broker.forget("", [owner])
            if broker.capabilities.results:
                broker.discard([id])
    except CeleriacError as exc:
        return [_unreachable(exc, "trial")]


def _sent_through(broker: Broker, wait: Callable[[float], bool], message: Message, owner: str) -> list[Finding]:
    # A worker looks before it sleeps, and some brokers wake only for the queues that were looked at.
    broker.claim([message.queue], 1, owner, PATIENCE)
    _, enqueued = _clocked(lambda: broker.enqueue([message]))
    woken, waited = _clocked(lambda: wait(PATIENCE))
    deliveries, claimed = _clocked(lambda: broker.claim([message.queue], 1, owner, PATIENCE))
    if len(deliveries) != 1 or deliveries[0].message != message:
        return [_bad("error", "trial", "a message that was enqueued did not come back as it was", _REPORT)]
    result = StoredResult(id=message.id, state=state.SUCCESS, task=message.task)
    kept = result if broker.capabilities.results else None
    settlement = Settlement(lease=deliveries[0].lease, action="done", result=kept, state=state.SUCCESS)
    lost, settled = _clocked(lambda: broker.settle([settlement]))
    if lost or (kept is not None and broker.fetch([message.id]) != [kept]):
        return [_bad("error", "trial", "a task that was settled has not the result that it was settled with", _REPORT)]
    if not woken:
        remedy = "see that no proxy between here and the store cuts what it sends by itself"
        return [_bad("warning", "trial", f"nothing was woken within {PATIENCE:g} s of a message", remedy)]
    steps = f"enqueued in {_ms(enqueued)}, woken in {_ms(waited)}, claimed in {_ms(claimed)}, settled in {_ms(settled)}"
    return [_found("trial", steps)]


# The store itself.


def _has_time(store: SyncResults | Broker) -> bool:
    """Tell whether there is a clock to look at: a broker without a store has none, nor have results that are messages.

    The driver then tells about the way to the server by itself.
    """
    capabilities: Capabilities = store.capabilities
    return capabilities.stored and (capabilities.messages or capabilities.durable)


def _timed(store: SyncResults | Broker, clock: Clock) -> list[Finding]:
    trips: list[float] = []
    differences: list[float] = []
    for _ in range(ROUNDS):
        before = clock.now()
        now, took = _clocked(store.now)
        trips.append(took)
        differences.append(now - before - took / 2)
    usual = median(trips)
    text = f"{_ms(usual)} for a round trip, {_ms(max(trips))} for the slowest of {ROUNDS}"
    if usual >= VERY_SLOW:
        latency = _bad("warning", "latency", text, "move the workers or the store, so that they are near each other")
    elif usual >= SLOW:
        remedy = "send many tasks with one call (send_tasks), and keep workers near the store"
        latency = _bad("advice", "latency", text, remedy)
    else:
        latency = _found("latency", text)
    # The quickest trip leaves the least room for doubt.
    difference = differences[trips.index(min(trips))]
    text = f"the store's clock is {abs(difference):.3f} s {'ahead of' if difference > 0 else 'behind'} this machine's"
    if abs(difference) < ASKEW:
        return [latency, _found("clock", text)]
    remedy = "let NTP or chrony set both: etas and expiry are off by so much (leases are not: the store times them)"
    return [latency, _bad("warning", "clock", text, remedy)]


def _clocked(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    answer = call()
    return answer, time.perf_counter() - start


# The work in it.


def _examine_work(broker: Broker) -> list[Finding]:
    if not broker.capabilities.stored:
        return [_counted(broker.stats())]  # Who works, and on what, is not known there.
    now = broker.now()
    queues, workers = broker.stats(), broker.workers()
    owned = broker.page(_RUNNING, None, 0, LOOKED_AT)
    delayed = broker.page(_DELAYED, None, 0, LOOKED_AT)
    return [
        _workers(workers),
        *_queues(queues, workers),
        _leases(owned, workers, now),
        _overdue(delayed, now),
        _dead_letters(queues),
    ]


def _workers(workers: Sequence[WorkerRecord]) -> Finding:
    silent = [worker.name for worker in workers if worker.age > SILENT]
    if silent:
        remedy = "see whether they hang, are stopped, or cannot reach the store"
        return _bad("warning", "workers", f"no heartbeat for over {SILENT:g} s from {_names(silent)}", remedy)
    if not workers:
        return _bad("advice", "workers", "no worker is online", "start one: celeriac -A proj worker")
    return _found("workers", f"{len(workers)} online: {_names(worker.name for worker in workers)}")


def _queues(queues: Sequence[QueueStats], workers: Sequence[WorkerRecord]) -> list[Finding]:
    served = {queue for worker in workers for queue in queues_of(worker)}
    filled = {stats.queue for stats in queues}
    unserved = [stats for stats in queues if stats.queue not in served and stats.ready + stats.scheduled > 0]
    waiting = [stats for stats in queues if stats.queue in served and (stats.oldest or 0.0) > LONG_WAIT]
    idle = sorted(served - filled)
    found: list[Finding] = []
    for stats in unserved:
        near = difflib.get_close_matches(stats.queue, idle, n=1)
        guess = f" (a worker listens to {near[0]!r}: is one of the two misspelt?)" if near else ""
        text = f"{stats.queue!r} has {stats.ready} ready and {stats.scheduled} scheduled, and no worker{guess}"
        remedy = f"start a worker with -Q {stats.queue}, or drop them with celeriac purge -Q {stats.queue}"
        found.append(_bad("warning", "queues without workers", text, remedy))
    if unserved and idle:
        text = f"workers listen to {_names(idle)}, where nothing is, while other queues have no worker"
        found.append(_bad("advice", "workers without work", text, "compare the names with those that senders use"))
    for stats in waiting:
        text = f"{stats.queue!r} has {stats.ready} ready, the oldest for {(stats.oldest or 0.0) / 3600:.1f} h"
        found.append(_bad("advice", "backlog", text, "add worker processes (-c), or see what holds them up"))
    return found or [_found("queues", f"{len(queues)} with messages; each has a worker and keeps up")]


def _leases(owned: Sequence[Record], workers: Sequence[WorkerRecord], now: float) -> Finding:
    live = {owner for worker in workers for owner in worker.owners}
    lost = [one for one in owned if one.owner not in live and now - (one.changed or 0.0) > LATE]
    if not lost:
        return _found("leases", f"{_about(owned)} claimed or running, all of workers that are online")
    text = f"{_about(lost)} held by workers that are not online, such as {lost[0].id!r} by {lost[0].owner!r}"
    remedy = "start a worker: it frees them" if not workers else "see in the workers' logs why they do not free them"
    return _bad("warning", "leases", text, remedy)


def _overdue(delayed: Sequence[Record], now: float) -> Finding:
    late = [one for one in delayed if one.due is not None and now - one.due > LATE]
    if not late:
        return _found("schedule", f"{_about(delayed)} waiting for their time, none of them late")
    text = f"{_about(late)} past their time for over {LATE:g} s and not ready, such as {late[0].id!r}"
    return _bad("warning", "schedule", text, "start a worker: any worker makes them ready")


def _counted(queues: Sequence[QueueStats]) -> Finding:
    ready, dead = sum(stats.ready for stats in queues), [stats for stats in queues if stats.dead]
    if not dead:
        return _found("queues", f"{ready} ready in the queues that the app names; who works on them is not known")
    text = ", ".join(f"{stats.dead} dead letters in {stats.queue!r}" for stats in dead)
    remedy = "look at them with RabbitMQ's own tools (the header x-celeriac-reason says why), then purge the queue"
    return _bad("warning", "dead letters", text, remedy)


def _dead_letters(queues: Sequence[QueueStats]) -> Finding:
    dead = [stats for stats in queues if stats.dead]
    if not dead:
        return _found("dead letters", "none")
    text = ", ".join(f"{stats.dead} in {stats.queue!r}" for stats in dead)
    return _bad("warning", "dead letters", text, "see why with celeriac dlq list; then dlq retry or dlq purge")


# Words.

_REPORT: Final = "do not use this store before it is known why; celeriac report shows what a bug report should say"


def _unreachable(exc: CeleriacError, subject: str = "connection") -> Finding:
    """Return what an error says: what there is, a colon, and what to do."""
    text, _, remedy = " ".join(str(exc).split()).partition(": ")
    return _bad("error", subject, text, remedy or "check the URL, and that the server runs")


def _found(subject: str, text: str) -> Finding:
    return _clean(Finding(level="ok", subject=subject, text=text))


def _bad(level: Level, subject: str, text: str, remedy: str) -> Finding:
    return _clean(Finding(level=level, subject=subject, text=text, remedy=remedy))


def _clean(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, text=redact_url(finding.text), remedy=redact_url(finding.remedy))


def _about(records: Sequence[Record]) -> str:
    return f"{len(records)}{' or more' if len(records) >= LOOKED_AT else ''}"


def _names(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
