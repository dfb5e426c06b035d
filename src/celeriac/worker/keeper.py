"""The keeper: what a worker does for its children and for the store, in threads of the supervisor.

It renews the leases of all children (whatever their tasks do to the GIL), gives the work of a dead child back at once,
reaps what vanished workers held, records heartbeats, answers remote commands, and clears away what is old. It uses the
blocking side of the broker and no event loop. Renewing has a thread of its own, because failure hooks of tasks whose
process died run in the other one, and may take as long as they like.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from celeriac.app import Celeriac, announcing
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Finding, Reclaimed, WorkerRecord
from celeriac.core.message import Lease, Settlement
from celeriac.events import LeaseLost, signals
from celeriac.events.backoff import LONGEST
from celeriac.execution.announce import Node
from celeriac.execution.runnable import Surroundings
from celeriac.results import SyncResults
from celeriac.worker.control import Control, Handlers
from celeriac.worker.examiner import Examiner
from celeriac.worker.herald import Herald
from celeriac.worker.options import WorkerOptions
from celeriac.worker.relaying import WatchedRelay
from celeriac.worker.service import Service, ServiceLoop
from celeriac.worker.settler import without_results
from celeriac.worker.slots import SlotTable
from celeriac.worker.threads import SYSTEM_THREADS, Threads
from celeriac.worker.verdicts import Death, judge_death, judge_expired

REAP_EVERY: Final = 1.0
HEARTBEAT_EVERY: Final = 2.0
HEARTBEAT_TTL: Final = 8.0
PRUNE_EVERY: Final = 10.0
PRUNE_PAUSE: Final = 0.01
"""Seconds between two batches while there is more to prune: short enough that results expire faster than any worker can
store them, or the store would grow for ever; long enough for others to have their turn."""
BATCH: Final = 500
SCHEDULER_FAREWELL: Final = 1.0
"""Seconds in which the scheduler hands over the lead."""


class Keeper:
    """Owns the supervisor's broker connection and the thread that uses it."""

    _herald: Herald | None = None

    def __init__(
        self,
        *,
        app: Celeriac,
        options: WorkerOptions,
        name: str,
        handlers: Handlers,
        info: Callable[[], dict[str, Any]],
        extra: Sequence[Service] = (),
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        """Create the keeper; nothing starts before :meth:`start`.

        Args:
            app: The app.
            options: The worker's shape.
            name: The keeper's own owner name; starts all children's.
            handlers: What remote commands do to the supervisor.
            info: Returns what the heartbeat tells.
            extra: Services of the worker's own to run beside the keeper's.
            threads: Where its threads come from.
        """
        self._options = options
        self._name = name
        self._info = info
        self._surroundings: Surroundings = app.worker_surroundings(options.node, delivery_limit=options.delivery_limit)
        self._app = app
        self._broker: SyncBroker[Any, Any] = app.broker
        self._children: dict[str, SlotTable] = {}
        self._lock = threading.Lock()
        relay = None if app.outbox is None else app.outbox.embedded(name)
        self._relay = None if relay is None else WatchedRelay(relay, options.watchdog, self._surroundings.clock)
        self.control = Control(
            app=app,
            options=options,
            handlers=handlers,
            children=self.children,
            bus=self._surroundings.bus,
            outbox=lambda: self.outbox,
            told=lambda: bool(self._herald and self._herald.listening),
        )
        self.leases = Leases(self._broker, options, name, self.children, self._surroundings)
        self._heartbeat = Heartbeat(self._broker, Node(options.node, app), self._record)
        self._judge = Judge(
            self._broker, f"{name}/judge", options, settle=self._settle, surroundings=self._surroundings
        )
        services: Sequence[Service] = (
            Reaper(self._judge, self.leases),
            Promoter(self._broker),
            self._heartbeat,
            self.control,
            Pruner(self._broker, app.conf.dead_letter_expires, self._own_results),
            Examiner(self._stores(), self._surroundings.bus),
            *extra,
        )
        shared = self._surroundings
        self._loop = ServiceLoop(services, shared.bus, clock=shared.clock, rng=shared.rng, threads=threads)
        self._renewals = ServiceLoop((self.leases,), shared.bus, clock=shared.clock, rng=shared.rng, threads=threads)
        self._threads = [
            threads.thread(self._loop.run, "celeriac-keeper"),
            threads.thread(self._renewals.run, "celeriac-leases"),
        ]
        # In a loop of its own: it waits for a database that nothing else here depends on.
        self._relays: ServiceLoop | None = None
        if self._relay is not None:
            self._relays = ServiceLoop((self._relay,), shared.bus, clock=shared.clock, rng=shared.rng, threads=threads)
            self._threads.append(threads.thread(self._relays.run, "celeriac-relay"))

        self._scheduler = app.schedule.scheduler(shared.bus, f"{name}/scheduler") if options.beat else None
        if self._scheduler is not None:
            self._threads.append(threads.thread(self._scheduler.run, "celeriac-scheduler"))

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the scheduler and the relay of an outbox from their work, where they are."""
        scheduler = () if self._scheduler is None else self._scheduler.status.problems
        return scheduler + (() if self._relay is None else self._relay.problems)

    @property
    def outbox(self) -> dict[str, Any] | None:
        """How the outbox stands that this worker empties, or stands by to; None without one."""
        return None if self._relay is None else self._relay.info

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with schedule entries, where there is a scheduler."""
        return () if self._scheduler is None else self._scheduler.status.doubts

    @property
    def surroundings(self) -> Surroundings:
        """What all runs share, with the supervisor's bus."""
        return self._surroundings

    def start(self) -> None:
        """Start the threads."""
        if self._scheduler is not None:
            signals.beat_embedded_init.send(self._scheduler)
        for thread in self._threads:
            thread.start()

    def listen(self) -> None:
        """Have the store tell of remote commands, where it can: that takes one connection more.

        Without, they are looked for all the time.
        """
        can = self._broker.capabilities
        # In a file on this machine a look costs less than a wake-up for each commit.
        if not (can.push and can.remote and can.stored):
            return
        loop, control = self._loop, self.control
        herald = Herald(
            self._broker.waiter, lambda: loop.wake(control), clock=self._surroundings.clock, threads=SYSTEM_THREADS
        )
        self._herald = herald
        SYSTEM_THREADS.thread(herald.run, "celeriac-herald").start()

    def stop(self, timeout: float) -> bool:
        """Finish the orders, drop the worker's record and leases, end; False if that took over ``timeout`` seconds."""
        self._renewals.stop()
        if self._herald is not None:
            self._herald.stop()
        if self._scheduler is not None:
            self._scheduler.stop()
            self._threads[-1].join(SCHEDULER_FAREWELL)
        if self._relays is not None and self._relay is not None:
            self._relays.order(self._relay.close)
            self._relays.stop()
        self._loop.order(self._farewell)
        self._loop.stop()
        self._threads[0].join(timeout)
        return not self._threads[0].is_alive()

    def children(self) -> dict[str, SlotTable]:
        """Return the slot tables of the children by owner, as they are now."""
        with self._lock:
            return dict(self._children)

    def adopt(self, owner: str, table: SlotTable) -> None:
        """Renew this child's lease from now on."""
        with self._lock:
            self._children[owner] = table
        self._renewals.wake(self.leases)
        # So that whoever asks for the worker right after its start is told of its children.
        self._loop.wake(self._heartbeat)

    def bury_child(self, death: Death) -> None:
        """Renew no more, and settle or give back at once what the child held."""
        with self._lock:
            self._children.pop(death.owner, None)
        self._loop.order(lambda: self._after_death(death))

    def _after_death(self, death: Death) -> None:
        limit = self._options.delivery_limit
        if death.running:
            records = {one.id: one for one in self._broker.get([run.id for run in death.running])}
            self._settle(
                [
                    judge_death(death, run, records[run.id], self._surroundings, limit)
                    for run in death.running
                    if run.id in records and records[run.id].token == run.token
                ]
            )
        while self._judge.reclaim(owner=death.owner, guilty=death.unsettled).count:
            continue
        self._broker.forget("", [death.owner])

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        app = self._app
        if self._surroundings.stores_results and not app.results_share_broker:
            app.backend.store([one.result for one in settlements if one.result is not None])
            settlements = without_results(settlements)
        announcing.after_settling(settlements, self._broker.settle(settlements))

    def _stores(self) -> dict[str, Callable[[], list[Finding]]]:
        """Return what asks each store of the app's what is wrong with it."""
        stores: dict[str, Callable[[], list[Finding]]] = {"broker": self._broker.examine}
        results = self._own_results()
        if results is not None:
            stores["result store"] = results.examine
        return stores

    def _own_results(self) -> SyncResults | None:
        """Return the result store, where it is not the broker's."""
        app = self._app
        return None if app.results_share_broker or not app.results_enabled else app.backend

    def _record(self) -> WorkerRecord:
        info = self._info()
        if self._relay is not None:
            info["outbox"] = self._relay.info
        if self._scheduler is not None:
            does = self._scheduler.status
            doubts = {"doubts": list(does.doubts)} if does.doubts else {}
            numbers = {"leads": does.leads, "fired": does.fired, "lateness": round(does.lateness, 3)}
            info["scheduler"] = {**numbers, **doubts}
        return WorkerRecord(name=self._options.node, owners=tuple(self.children()), info=info)

    def _farewell(self) -> None:
        self._broker.forget(self._options.node, [*self.children(), self._name])


class Leases:
    """Renews the leases of all children, four times in the life of one.

    It also tells when leases can be judged: not soon after the store was out of reach, when others that live have not
    had the time to renew theirs.
    """

    name = "lease renewal"

    def __init__(
        self,
        broker: SyncBroker[Any, Any],
        options: WorkerOptions,
        keeper: str,
        children: Callable[[], dict[str, SlotTable]],
        surroundings: Surroundings,
    ) -> None:
        self._broker = broker
        self._lease = options.lease
        self._keeper = keeper
        self._children = children
        self._bus = surroundings.bus
        self._clock = surroundings.clock
        self._offset: float | None = None
        self._renewed: float | None = None
        self._calm_at = 0.0
        self.longest_backoff = self._lease / 4
        self.patience = self._lease / 2
        """Seconds for which nobody who lives can be late with a renewal, and within which all are heard again."""

    def now(self) -> float:
        """Return the time that :meth:`judges` goes by."""
        return self._clock.monotonic()

    def judges(self, now: float) -> bool:
        """Return whether a lease that has run out tells that its owner is gone.

        Not while this worker could not renew, nor for one lease after somebody set the clock or the store stood still:
        the leases of all, which are kept in wall time, may then have run out without anybody being gone.
        """
        offset = self._clock.now() - now
        if self._offset is not None and abs(offset - self._offset) > self._lease / 4:
            self.hold()
        self._offset = offset
        return self._renewed is not None and now >= self._calm_at and now - self._renewed < self.patience

    def hold(self) -> None:
        """Judge nobody for one lease."""
        self._calm_at = max(self._calm_at, self._clock.monotonic() + self._lease)

    def tick(self) -> float:
        """Renew once."""
        children = self._children()
        asked = self._clock.monotonic()
        lost = set(self._broker.extend([self._keeper, *children], self._lease))
        now = self._clock.monotonic()
        if now - (asked if self._renewed is None else self._renewed) > self.patience:
            self.hold()
        elif self._renewed is None:  # The store may have been away, or stood still, until just now.
            self._calm_at = now + self.patience
        self._renewed = now
        for owner, table in children.items():
            if owner in lost and owner in self._children():  # It may have died, and been buried, meanwhile.
                # What the child holds is others' to run by now. The lease in its table stays old until it has given up
                # what it has not started; what it runs it cannot settle.
                table.note_loss()
                self._bus.emit(LeaseLost((), owner))
            else:
                table.note_lease(asked + self._lease)
        return self._lease / 4


class Judge:
    """Frees what lost its owner, and settles what of it must not simply run again.

    Verdicts are leased to a name of their own, which nobody renews. If the reply with them is lost, they are taken
    again with the next call; if this worker ends first, by any other once that lease has run out.
    """

    def __init__(
        self,
        broker: SyncBroker[Any, Any],
        name: str,
        options: WorkerOptions,
        *,
        settle: Callable[[Sequence[Settlement]], None],
        surroundings: Surroundings,
    ) -> None:
        self._broker = broker
        self._name = name
        self._limit = options.delivery_limit
        self._settle = settle
        self._surroundings = surroundings
        self._doubtful = False
        """Verdicts may be ours without our knowing."""

    def reclaim(self, owner: str | None = None, guilty: Sequence[Lease] = (), before: float | None = None) -> Reclaimed:
        """Free one batch of what vanished owners held, or of what ``owner`` holds; see the port."""
        if self._doubtful:
            self._take(self._name, (), None)
        self._doubtful = True
        reclaimed = self._take(owner, guilty, before)
        self._doubtful = False
        return reclaimed

    def _take(self, owner: str | None, guilty: Sequence[Lease], before: float | None) -> Reclaimed:
        limit = self._limit
        reclaimed = self._broker.reclaim(
            self._name, BATCH, crash_limit=limit, owner=owner, guilty=guilty, before=before
        )
        self._settle([judge_expired(one, self._surroundings, limit) for one in reclaimed.verdicts])
        return reclaimed


class Reaper:
    """Frees what vanished workers held.

    It says until when the store may do so. A store that stood still finds the reaper's request first, perhaps, and all
    leases over, while the renewals of living workers wait behind it.
    """

    name = "reaper"
    longest_backoff = LONGEST

    def __init__(self, judge: Judge, leases: Leases) -> None:
        self._judge = judge
        self._leases = leases
        self._ahead: float | None = None
        """The store's time less ours; not known before the first call, which therefore only asks."""

    def tick(self) -> float:
        """Reap one batch."""
        leases, ahead = self._leases, self._ahead
        now = leases.now()
        if not leases.judges(now):
            return REAP_EVERY
        before = 0.0 if ahead is None else now + ahead + leases.patience
        reclaimed = self._judge.reclaim(before=before)
        self._ahead = reclaimed.at - leases.now()
        if ahead is None:
            return 0.0
        if reclaimed.at > before:
            leases.hold()
        return 0.0 if reclaimed.count >= BATCH else REAP_EVERY


class Promoter:
    """Makes due messages ready even while every child is busy, so that counts of queues are true."""

    name = "promoter"
    longest_backoff = LONGEST

    def __init__(self, broker: SyncBroker[Any, Any]) -> None:
        self._broker = broker

    def tick(self) -> float:
        """Promote one batch."""
        return 0.0 if self._broker.promote(BATCH).count >= BATCH else 1.0


class Heartbeat:
    """Keeps the worker's record alive."""

    name = "heartbeat"
    longest_backoff = LONGEST

    def __init__(self, broker: SyncBroker[Any, Any], sender: Node, record: Callable[[], WorkerRecord]) -> None:
        self._broker = broker
        self._sender = sender
        self._record = record

    def tick(self) -> float:
        """Beat once."""
        self._broker.heartbeat(self._record(), HEARTBEAT_TTL)
        if signals.heartbeat_sent.receivers:
            signals.heartbeat_sent.send(self._sender)
        return HEARTBEAT_EVERY


class Pruner:
    """Clears away what has expired."""

    name = "pruner"
    longest_backoff = LONGEST

    def __init__(
        self, broker: SyncBroker[Any, Any], dead_letter_age: float | None, results: Callable[[], SyncResults | None]
    ) -> None:
        self._broker = broker
        self._age = dead_letter_age
        self._results = results

    def tick(self) -> float:
        """Prune one batch of each kind; in a result store of its own nothing but results and what goes by itself."""
        gone = self._broker.prune(self._age, BATCH)
        results = self._results()
        if results is not None:
            gone = max(gone, results.prune(None, BATCH))
        return PRUNE_PAUSE if gone >= BATCH else PRUNE_EVERY
