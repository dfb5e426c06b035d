"""One run from its seed: builds the installation, lets faults happen, waits for peace, and checks what is left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from celeriac.app.canvas import Signature
from celeriac.brokers.memory.store import Store
from celeriac.brokers.port import Sending
from celeriac.core.message import Message
from celeriac.errors import OperationalError
from celeriac.testing.simulation.checker import Checker
from celeriac.testing.simulation.climate import Climate, climate
from celeriac.testing.simulation.network import Wire, named_operations
from celeriac.testing.simulation.process import Process
from celeriac.testing.simulation.report import Report
from celeriac.testing.simulation.strands import Strand
from celeriac.testing.simulation.tasks import QUEUES, UNKNOWN, Script, SimulatedApp
from celeriac.testing.simulation.worker import DELIVERY_LIMIT, SimulatedWorker, Site
from celeriac.testing.simulation.world import EPOCH, Host, StoreClock, World

PATIENCE: Final = 120.0
"""Virtual seconds of peace in which everything must come to its end."""
_OPERATIONS: Final = named_operations()
_NAMES: Final = ("plain", "coroutine")
_KINDS: Final = ("", "", "", ".once", ".tracked")


def simulate(
    seed: int,
    *,
    trace: bool = False,
    circumstances: Climate | None = None,
    store: Callable[[StoreClock], Store] = Store,
) -> Report:
    """Run the simulation that this seed decides.

    Args:
        seed: Any whole number of at least 0.
        trace: Keep what happened, in words.
        circumstances: Take these instead of those that the seed draws.
        store: Makes the store, of its clock; tests plant bugs here.
    """
    return Run(seed, trace=trace, circumstances=circumstances, store=store).report()


class Run:
    """One run; what simulate() keeps."""

    def __init__(
        self, seed: int, *, trace: bool, circumstances: Climate | None, store: Callable[[StoreClock], Store]
    ) -> None:
        self.seed = seed
        self.world = World(seed)
        drawn = climate(self.world.rng)
        self.climate = drawn if circumstances is None else circumstances
        self.checker = Checker(self.world, limit=DELIVERY_LIMIT, keep=trace)
        self.checker.calm = self.climate.calm
        self.checker.halting = self.climate.halts > 0
        self.store = store(StoreClock(self.world))
        self.app = SimulatedApp(self.world, self.checker)
        wire = Wire(self.world, self.store, self.climate, self.checker)
        self.wire = wire
        self.site = Site(self.app, wire, _OPERATIONS, self.climate, self._failed)
        self.workers: list[SimulatedWorker] = []
        self.links: dict[str, tuple[int, int]] = {}
        self._hosts = 0
        self._busy = 0
        self._peace_at = EPOCH + self.climate.trouble

    def _failed(self, what: str) -> None:
        self.checker.wrong(f"error: {what}")

    def _host(self) -> Host:
        rng, skew = self.world.rng, self.climate.skew
        self._hosts += 1
        return Host(f"h{self._hosts}", skew=skew * (2 * rng.random() - 1), booted=1000.0 * self._hosts)

    def report(self) -> Report:
        """Run it."""
        world, checker = self.world, self.checker
        for _ in range(self.climate.workers):
            self._add_worker()
        for number in range(self.climate.producers):
            self._producer(number)
        if self.climate.cancels:
            self._canceller()
        self._plan_trouble()
        world.at(self._peace_at, self._make_peace)
        over = world.run(self._is_over, self._peace_at + PATIENCE)
        checker.finish(self.store, lambda id: self.links.get(id, (0, 0)))
        if not over and not checker.violations:
            checker.wrong("lost: not everything came to an end")
        self._tear_down()
        return Report(
            seed=self.seed,
            digest=checker.digest,
            climate=self.climate,
            violations=tuple(checker.violations),
            trace=tuple(checker.trace),
            seconds=world.now - EPOCH,
            tasks=len(checker.ledger.all),
            runs=checker.counts["runs"],
            requests=checker.counts["requests"],
            faults=checker.counts["faults"],
        )

    def _is_over(self) -> bool:
        if self.checker.violations:
            return True
        return self.wire.peace and self._busy == 0 and self.checker.ledger.all_over

    def _make_peace(self) -> None:
        self.wire.peace = True
        self.checker.note("peace")

    def _tear_down(self) -> None:
        before = len(self.checker.violations)
        for worker in self.workers:
            for child in list(worker.children.values()):
                child.process.kill()
            worker.process.kill()
        del self.checker.violations[before:]

    # Workers.

    def _add_worker(self) -> None:
        name = f"w{len(self.workers) + 1}"
        self.checker.note(f"begin     {name}")
        self.workers.append(SimulatedWorker(self.site, self._host(), name))

    def _plan_trouble(self) -> None:
        climate, rng = self.climate, self.world.rng
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (climate.child_kills, self._kill_child),
            (climate.host_kills, self._kill_worker),
            (climate.freezes, self._freeze),
            (climate.restarts, self._restart),
            (climate.deploys, self._deploy),
            (climate.steps, self._step_clock),
            (climate.halts, self._halt),
        )
        for count, act in kinds:
            for _ in range(count):
                self.world.after(rng.random() * climate.trouble, act)
        # A worker that died by a fault of the network's is replaced, too.
        self.world.after(0.5, self._replace)

    def _replace(self) -> None:
        living = sum(one.alive and not one.stopping for one in self.workers)
        for _ in range(self.climate.workers - living):
            self._add_worker()
        self.world.after(0.5, self._replace)

    def _living(self) -> list[SimulatedWorker]:
        return [one for one in self.workers if one.alive]

    def _some_process(self) -> Process | None:
        processes = [
            process
            for worker in self._living()
            for process in (worker.process, *(child.process for child in worker.children.values()))
            if process.alive
        ]
        return self.world.rng.choice(processes) if processes else None

    def _kill_child(self) -> None:
        children = [child for worker in self._living() for child in worker.children.values() if child.process.alive]
        if children:
            child = self.world.rng.choice(children)
            self.checker.fault(f"{child.owner} is killed")
            child.process.kill()

    def _kill_worker(self) -> None:
        living = self._living()
        if living:
            worker = self.world.rng.choice(living)
            self.checker.fault(f"{worker.name} is killed, and its children")
            for child in list(worker.children.values()):
                child.process.kill()
            worker.process.kill()

    def _freeze(self) -> None:
        process = self._some_process()
        if process is not None:
            seconds = self.world.rng.random() * self.climate.longest_freeze
            self.checker.fault(f"{process.name} stands still for {seconds:.3f} s")
            (process if self.world.chance(0.5) else process.host).freeze(seconds)

    def _restart(self) -> None:
        seconds = self.world.rng.random() * self.climate.lease
        self.checker.fault(f"the store is away for {seconds:.3f} s")
        self.wire.restart(seconds)

    def _halt(self) -> None:
        seconds = (0.3 + 0.7 * self.world.rng.random()) * self.climate.longest_halt
        self.checker.fault(f"the store stands still for {seconds:.3f} s")
        self.wire.halt(seconds)

    def _deploy(self) -> None:
        living = [one for one in self._living() if not one.stopping]
        if living:
            worker = self.world.rng.choice(living)
            self.checker.fault(f"{worker.name} is told to shut down")
            worker.stop()

    def _step_clock(self) -> None:
        process = self._some_process()
        if process is not None:
            seconds = self.world.rng.choice((-3600.0, -5.0, 5.0))
            self.checker.fault(f"the clock of {process.host.name} is set by {seconds} s")
            process.host.skew += seconds
            self.world.after(1.0, lambda: setattr(process.host, "skew", process.host.skew - seconds))

    # Those who send.

    def _client(self, name: str, work: Callable[[Process], None]) -> Process:
        process = self.site.process(self._host(), name)
        self._busy += 1

        def ended() -> None:
            self._busy -= 1

        process.ended.append(ended)

        def whole() -> None:
            work(process)
            self.world.after(0.0, process.kill)

        Strand(process, whole, name).start()
        return process

    def _producer(self, number: int) -> None:
        self._client(f"p{number}", partial(self._produce, number=number))

    def _produce(self, process: Process, number: int) -> None:
        rng, checker = self.world.rng, self.checker
        broker = self.app.sync_brokers[process.name]
        count = max(1, self.climate.tasks // self.climate.producers)
        made = 0
        while made < count:
            batch = [self._message(f"t{number}-{made + one}") for one in range(rng.choice((1, 1, 3, 8)))]
            made += len(batch)
            sending = Sending(process.name, made)
            while True:
                for message in batch:
                    checker.sent(message)
                try:
                    broker.enqueue(batch, sending)
                except OperationalError:
                    process.here().pause(0.1 + rng.random() * 0.3)
                    continue
                for message in batch:
                    checker.accepted(message.id)
                break
            process.here().pause(rng.random() * rng.choice((0.01, 0.1, 0.5)))

    def _message(self, id: str) -> Message:
        """Draw a task, and return the message that the app makes of it."""
        rng = self.world.rng
        options: dict[str, Any] = {"task_id": id, "queue": rng.choice(QUEUES), "priority": rng.choice((0, 0, 0, 5))}
        script = Script(seconds=rng.choice((0.0, 0.002, 0.02, 0.1)) if rng.random() < 0.9 else rng.uniform(0.5, 2.0))
        if rng.random() < 0.15:
            script = msgspec.structs.replace(script, boom=rng.choice((1, 2, 5)))
        if rng.random() < 0.1:
            script = msgspec.structs.replace(script, broken=True)
        if not (self.climate.calm or self.climate.halts) and rng.random() < 0.05:
            script = msgspec.structs.replace(script, crash=rng.choice((1, 2, 9)))
        if rng.random() < 0.1:
            options["countdown"] = rng.random() * 2.0
        callbacks, errbacks = rng.choice((0, 0, 0, 1, 2)), rng.choice((0, 0, 0, 1))
        follower = Signature("plain", args=(msgspec.to_builtins(Script()),), immutable=True, app=self.app)
        options["link"] = [follower] * callbacks
        options["link_error"] = [follower] * errbacks
        self.links[id] = (callbacks, errbacks)
        name = rng.choice(_NAMES) + rng.choice(_KINDS)
        if rng.random() < 0.02:
            name = UNKNOWN
            self.links[id] = (callbacks, 0)
        return self.app.publisher.plan(name).message((msgspec.to_builtins(script),), {}, options)

    def _canceller(self) -> None:
        self._client("revoker", self._revoke)

    def _revoke(self, process: Process) -> None:
        rng = self.world.rng
        for _ in range(self.climate.cancels):
            process.here().pause(rng.random())
            known = sorted(self.checker.confirmed)
            if not known:
                continue
            id = rng.choice(known)
            terminate = self.world.chance(0.5)
            try:
                self.site.within(process, partial(self.app.control.revoke, id, terminate=terminate))
            except OperationalError:
                self.checker.note(f"revoking {id} failed")
