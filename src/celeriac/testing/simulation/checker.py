"""Who watches: takes note of everything that happens, and of everything that must not.

The trace is what happened, in words, in order; its hash tells whether two runs were the same. What must not be is
checked as it happens, and once more at the end, when everything should be over.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from celeriac.brokers.memory.store import Store
from celeriac.core import state
from celeriac.core.ids import follow_up_id
from celeriac.core.message import Lease, Message
from celeriac.testing.simulation.ledger import Item, Ledger
from celeriac.testing.simulation.network import Request
from celeriac.testing.simulation.process import Process
from celeriac.testing.simulation.world import EPOCH, World

ENOUGH: Final = 20
"""Violations after which no more are written down."""


class Checker:
    """The watch of one run.

    Args:
        world: Whose time it is.
        limit: The delivery limit.
        keep: Keep the trace, not only its hash.
    """

    def __init__(self, world: World, *, limit: int, keep: bool) -> None:
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.ledger = Ledger(self.wrong, limit)
        self.sends: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.calm = False
        self.halting = False
        self._world = world
        self._limit = limit
        self._keep = keep
        self._hash = hashlib.blake2b(digest_size=8)
        self._processes: dict[str, Process] = {}
        self._runs: Counter[str] = Counter()
        self._once: Counter[tuple[int, int]] = Counter()
        self._running: dict[tuple[str, int], str] = {}
        self._claimed_with: dict[tuple[str, int], int] = {}
        self._newest: dict[tuple[str, int], int] = {}

    # The trace.

    @property
    def digest(self) -> str:
        """The hash of the trace so far."""
        return self._hash.hexdigest()

    def note(self, what: str) -> None:
        """Write down what happened."""
        line = f"{self._world.now - EPOCH:10.6f}  {what}"
        self._hash.update(line.encode())
        if self._keep:
            self.trace.append(line)

    def wrong(self, what: str) -> None:
        """Write down what must not be."""
        if len(self.violations) < ENOUGH:
            self.violations.append(f"{self._world.now - EPOCH:.6f}  {what}")
        self.note(f"WRONG     {what}")

    def fault(self, what: str) -> None:
        """Write down a fault."""
        self.counts["faults"] += 1
        self.note(f"fault     {what}")

    # The store.

    def carried_out(self, sender: str, request: Request, reply: Any) -> None:
        """Check an operation."""
        self.counts["requests"] += 1
        words = _in_words(request, reply)
        if words:
            self.note(f"{request.name:<9} {sender}: {words}")
        if request.name == "claim":
            for delivery in reply:
                self._claimed_with[delivery.lease.id, delivery.lease.token] = delivery.crashes
        elif request.name == "reclaim" and self.halting and request.kwargs.get("owner") is None:
            for owner in (one for one in reply.owners if one in self._processes and self._processes[one].alive):
                self.wrong(f"hasty: the lease of {owner}, who lives, was ended after the store had stood still")
        elif request.name == "settle":
            for one in request.args[0]:
                self._check_burial(one.lease, one.action, one.reason)
                self.run_ended(one.lease)
        self.ledger.take(self._world.now, request, reply)

    def refused(self, sender: str, request: Request, error: Exception) -> None:
        """Nothing that is sent here is beyond what a store can keep."""
        self.wrong(f"refused: {request.name} of {sender}: {type(error).__name__}: {error}")

    def _check_burial(self, lease: Lease, action: str, reason: str | None) -> None:
        item = self.ledger.held(lease)
        if item is not None and action == "dead" and "task_delivery_limit" in (reason or ""):
            lost = len(item.begun)
            if lost < self._limit:
                self.wrong(f"crashes: {item.id} is buried after {lost} of {self._limit} runs")

    # Tasks.

    def process_begins(self, owner: str, process: Process) -> None:
        """Know a process by the name under which it claims."""
        self._processes[owner] = process

    def process_of(self, owner: str) -> Process:
        """Return the process that claims under this name."""
        return self._processes[owner]

    def run_began(self, lease: Lease, retries: int, process: Process) -> int:
        """Check a run that begins; return how many of that task there have been, with this one."""
        self.counts["runs"] += 1
        self.note(f"run       {lease.owner}: {lease.id} token {lease.token}")
        item = self.ledger.held(lease)
        if item is None:
            self.wrong(f"fencing: {lease.id} began in {lease.owner} with token {lease.token}, which was superseded")
        else:
            self._check_beginning(item, retries)
            item.begun.add(lease.token)
        self._running[lease.id, lease.token] = lease.owner
        self._runs[lease.id] += 1
        return self._runs[lease.id]

    def _check_beginning(self, item: Item, retries: int) -> None:
        if item.message.task.endswith(".once"):
            self._once[item.seq, retries] += 1
            if self._once[item.seq, retries] > 1:
                self.wrong(f"at most once: {item.id} began twice (retries {retries})")
        if item.cancelled is not None and item.token > item.cancelled:
            self.wrong(f"revoked: {item.id} began though it was revoked before it was claimed")
        if self.calm and item.message.task.startswith("plain"):
            newest = self._newest.get((item.message.queue, item.message.priority), 0)
            if item.seq < newest and item.message.retries == 0 and item.message.eta is None:
                self.wrong(f"order: {item.id} began after one that was sent later")
            if item.message.retries == 0 and item.message.eta is None:
                self._newest[item.message.queue, item.message.priority] = max(item.seq, newest)

    def run_ended(self, lease: Lease) -> None:
        """Take note of a run that came to its end."""
        self._running.pop((lease.id, lease.token), None)

    def task_kills(self, lease: Lease, process: Process) -> None:
        """Check who is with a task that kills its process."""
        self.note(f"crash     {lease.owner}: {lease.id} kills its process")
        for (id, token), owner in self._running.items():
            last_chance = self._claimed_with.get((id, token), 0) >= self._limit - 1
            if owner == lease.owner and (id, token) != (lease.id, lease.token) and last_chance:
                self.wrong(f"innocent: {id} had its last chance beside {lease.id}")

    # The end.

    def sent(self, message: Message) -> None:
        """Know of a message that a producer is about to send."""
        self.sends[message.id] += 1

    def accepted(self, id: str) -> None:
        """Know of a message whose sender was told that it is safe."""
        self.confirmed.add(id)

    def finish(self, store: Store, links: Callable[[str], tuple[int, int]]) -> None:
        """Check what is left when everything is over.

        Args:
            store: The store.
            links: Returns for a task id how many callbacks and errbacks it has.
        """
        ledger = self.ledger
        for id in sorted(self.confirmed):
            if id not in ledger.items:
                self.wrong(f"lost: {id} was accepted, and is nowhere")
        for item in ledger.open():
            self.wrong(f"lost: {item.id} is still {item.state} of {item.owner}, {item.message.task}")
        for id, times in ledger.accepted.items():
            if id in self.sends and times > 1:
                self.wrong(f"doubled: {id} was sent {self.sends[id]} times and accepted {times} times")
        self._check_follow_ups(links)
        self._check_results(store)
        tallies = {key: count for key, count in store.tallies.items() if count}
        if tallies != dict(ledger.tallies):
            self.wrong(f"tallies: the store has {sorted(tallies.items())}, it was {sorted(ledger.tallies.items())}")

    def _check_follow_ups(self, links: Callable[[str], tuple[int, int]]) -> None:
        expected: Counter[str] = Counter()
        for item in self.ledger.all:
            callbacks, errbacks = links(item.id)
            names: Iterable[str] = ()
            if item.state == state.SUCCESS:
                names = (f"link/{place}" for place in range(callbacks))
            elif item.state == state.FAILURE or (item.state == state.DEAD and len(item.begun) >= self._limit):
                names = (f"link_error/{place}" for place in range(errbacks))
            expected.update(follow_up_id(item.id, name) for name in names)
        found = Counter({id: times for id, times in self.ledger.accepted.items() if id not in self.sends})
        for id in sorted(expected.keys() | found.keys()):
            if found[id] != expected[id]:
                self.wrong(f"follow-ups: {id} should have been sent {expected[id]} times, and was {found[id]} times")

    def _check_results(self, store: Store) -> None:
        for id, item in sorted(self.ledger.items.items()):
            if not item.over:
                continue
            kept = next(iter(store.results.fetch([id])), None)
            if kept is None or kept.state != item.state:
                self.wrong(
                    f"results: {id} is {item.state}, and its result {kept.state if kept is not None else 'gone'}"
                )
            elif item.state == state.SUCCESS and msgspec.json.decode(kept.body)["token"] != item.token:
                self.wrong(f"results: {id} was settled with token {item.token}, its result is {kept.body.decode()}")


def _in_words(request: Request, reply: Any) -> str:
    """Return an operation in the words of the trace; nothing for one that changed nothing."""
    match request.name:
        case "enqueue":
            return " ".join(one.id for one in request.args[0]) + (f" (known: {len(reply)})" if reply else "")
        case "claim":
            return " ".join(f"{one.lease.id}#{one.lease.token}" for one in reply)
        case "start":
            return " ".join(f"{one.lease.id}#{one.lease.token}" for one in request.args[0]) + _refused(reply)
        case "settle":
            settled = [
                f"{one.lease.id}#{one.lease.token} {one.action}{f' ({one.reason})' if one.reason else ''}"
                for one in request.args[0]
            ]
            return ", ".join(settled) + _refused(reply)
        case "reclaim":
            freed = [*reply.released, *(f"{one.lease.id}#{one.lease.token} for a verdict" for one in reply.verdicts)]
            return ", ".join([*freed, *(f"lease of {one} ended" for one in reply.owners)])
        case "cancel":
            return " ".join(f"{one.id} {one.outcome}" for one in reply)
        case "extend":
            return f"{' '.join(request.args[0])}" + (f", ended: {' '.join(reply)}" if reply else "")
        case "promote":
            return str(reply.count) if reply.count else ""
        case "broadcast":
            return str(request.args[0].name)
        case _:
            return ""


def _refused(ids: tuple[str, ...]) -> str:
    return f" -- refused: {' '.join(ids)}" if ids else ""
