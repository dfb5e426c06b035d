"""The way between processes and the store: requests and replies take their time, get lost, and overtake each other.

What a performer of a driver does, :class:`Wire` does here: it sends a request of an operation on its way. The store
carries it out when it arrives, in one step, and the checker is told what it was and what was replied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

import msgspec

from celeriac.brokers.memory.operations import MemoryOperations
from celeriac.brokers.memory.store import Store
from celeriac.brokers.port import Capabilities, Operations
from celeriac.core.operation import Operation
from celeriac.errors import OperationalError
from celeriac.testing.simulation.climate import Climate
from celeriac.testing.simulation.process import Process
from celeriac.testing.simulation.strands import Killed
from celeriac.testing.simulation.world import World

GIVE_UP: Final = 0.3
"""Seconds after which a sender takes a request that was lost, or whose reply was, for failed."""


START_WEIGHT: Final = 8.0
"""How much likelier a process stands still while its start of a task is recorded than during another request."""


class Request(msgspec.Struct, frozen=True):
    """One request: which operation, with what, and the memory driver's own request."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    act: Callable[[Store], Any]


class Observer(Protocol):
    """Who is told of everything the store does."""

    def carried_out(self, sender: str, request: Request, reply: Any) -> None: ...

    def refused(self, sender: str, request: Request, error: Exception) -> None: ...

    def fault(self, what: str) -> None: ...


def _naming(name: str) -> Callable[..., Operation[Any, Any, Any]]:
    original = getattr(MemoryOperations, name)

    def operation(self: MemoryOperations, *args: Any, **kwargs: Any) -> Operation[Any, Any, Any]:
        act = next(original(self, *args, **kwargs))  # Each operation of the memory driver is one request.
        reply = yield Request(name, args, kwargs, act)
        return reply

    return operation


def named_operations() -> Operations[Any, Any]:
    """Return the memory driver's operations with requests that say what they are."""
    names = [name for name in dir(MemoryOperations) if not name.startswith("_")]
    kind = type("NamedOperations", (MemoryOperations,), {name: _naming(name) for name in names})
    return cast("Operations[Any, Any]", kind())


class Wire:
    """The network, and the store at its end.

    Args:
        world: Time and chance.
        store: What carries requests out.
        climate: How bad it is.
        observer: Who is told.
    """

    def __init__(self, world: World, store: Store, climate: Climate, observer: Observer) -> None:
        self.world = world
        self.store = store
        self.peace = False
        """No more faults."""
        self._climate = climate
        self._observer = observer
        self._down_until = 0.0
        self._halted_until = 0.0
        self._epoch = 0
        self._waiters: list[Waiter] = []

    # Faults.

    def restart(self, seconds: float) -> None:
        """Let the store be away for so long. It keeps what it has; whoever waits for a reply gets none."""
        self._epoch += 1
        self._down_until = self.world.now + seconds

    def halt(self, seconds: float) -> None:
        """Let the store stand still for so long; then it carries out what has come, in that order."""
        self._halted_until = max(self._halted_until, self.world.now + seconds)

    def _chance(self, probability: float) -> bool:
        return not self.peace and self.world.chance(probability)

    def _time(self) -> float:
        rng, climate = self.world.rng, self._climate
        if self._chance(climate.slow):
            return rng.random() * climate.slowest
        return climate.latency * (0.5 + rng.random())

    # Requests.

    def send(self, sender: Process, request: Request, answer: Callable[[Any, Exception | None], None]) -> None:
        """Send a request on its way; ``answer`` is called in the sender's process with a reply or an error."""
        if not sender.alive:
            return
        climate = self._climate
        dies = self.world.rng.randrange(4) if self._chance(climate.die_at_request) else None
        if dies == 0:
            self._die(sender, f"before it sends {request.name}")
            return
        if self._chance(climate.lose_request):
            if self._chance(climate.late):
                self._observer.fault(f"{request.name} of {sender.name} is late")
                self.world.after(GIVE_UP * 3 * self.world.rng.random(), lambda: self._arrive(sender, request, None))
            else:
                self._observer.fault(f"{request.name} of {sender.name} is lost")
            self._fail(sender, answer, GIVE_UP)
        else:
            epoch = self._epoch
            self.world.after(self._time(), lambda: self._arrive(sender, request, answer, epoch, dies))
        if dies == 1:
            self._die(sender, f"after it sent {request.name}")

    def _die(self, sender: Process, when: str) -> None:
        self._observer.fault(f"{sender.name} dies {when}")
        # Not in the midst of its code: the moment after is the same to everybody else.
        self.world.after(0.0, sender.kill)

    def _fail(self, sender: Process, answer: Callable[[Any, Exception | None], None], seconds: float) -> None:
        error = OperationalError("the connection was lost, as the simulation had it")
        self.world.after(seconds, lambda: sender.post(lambda: answer(None, error)))

    def _arrive(
        self,
        sender: Process,
        request: Request,
        answer: Callable[[Any, Exception | None], None] | None,
        epoch: int = 0,
        dies: int | None = None,
    ) -> None:
        if answer is not None and (epoch != self._epoch or self.world.now < self._down_until):
            self._fail(sender, answer, self._climate.latency)
            return
        if self.world.now < self._down_until:
            return
        if self.world.now < self._halted_until:
            self._wait_in_line(sender, request, answer)
            return
        reply, error = self._carry_out(sender, request)
        if answer is None:
            return
        if dies == 2:
            self._die(sender, f"while {request.name} is carried out")
        # Between the record of a start and the start is where standing still does the most harm.
        weight = START_WEIGHT if request.name == "start" else 1.0
        if self._chance(self._climate.freeze_at_request * weight):
            seconds = self._climate.longest_freeze * (0.5 + self.world.rng.random() / 2)
            self._observer.fault(f"{sender.name} stands still for {seconds:.3f} s, with {request.name} carried out")
            (sender if self.world.chance(0.5) else sender.host).freeze(seconds)
        if self._chance(self._climate.lose_reply):
            self._observer.fault(f"reply to {request.name} of {sender.name} is lost")
            self._fail(sender, answer, GIVE_UP)
            return

        def back() -> None:
            if epoch != self._epoch:
                self._fail(sender, answer, self._climate.latency)
            else:
                sender.post(lambda: answer(reply, error))
                if dies == 3:
                    self._die(sender, f"after the reply to {request.name}")

        self.world.after(self._time(), back)

    def _wait_in_line(
        self, sender: Process, request: Request, answer: Callable[[Any, Exception | None], None] | None
    ) -> None:
        """Let the request lie until the store goes on. Senders lose patience; what they sent may lie there still."""
        patience = self.world.rng.choice((GIVE_UP, 3 * GIVE_UP, 1000.0))
        if answer is not None and self.world.now + patience < self._halted_until:
            self._fail(sender, answer, patience)
            answer = None
            if self.world.chance(0.5):
                return
        self.world.at(self._halted_until, lambda: self._arrive(sender, request, answer, self._epoch))

    def _carry_out(self, sender: Process, request: Request) -> tuple[Any, Exception | None]:
        changes = self.store.changes
        try:
            reply = request.act(self.store)
        except Exception as exc:
            self._observer.refused(sender.name, request, exc)
            return None, exc
        self._observer.carried_out(sender.name, request, reply)
        if self.store.changes != changes:
            for waiter in self._waiters:
                if not self._chance(self._climate.lose_wakeup):
                    self.world.after(self._climate.latency, waiter.wake)
        return reply, None

    def listen(self, waiter: Waiter) -> None:
        """Wake this waiter from now on."""
        self._waiters.append(waiter)
        waiter.process.at_death.append(lambda: self._waiters.remove(waiter) if waiter in self._waiters else None)

    def leave(self, waiter: Waiter) -> None:
        """Wake this waiter no more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)


class Waiter:
    """Waits in the loop of a child process until the store has changed."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self.process = process
        self._wire = wire
        self._changed = asyncio.Event()
        wire.listen(self)

    def wake(self) -> None:
        """Tell it that the store has changed."""
        self.process.post(self._changed.set)

    async def wait(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def close(self) -> None:
        self._wire.leave(self)


class AsyncPerformer:
    """Sends requests from the loop of a process."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self._wire = wire
        self._process = process

    async def perform(self, request: Request) -> Any:
        if not self._process.alive:
            raise Killed
        future: asyncio.Future[Any] = self._process.loop.create_future()

        def answer(reply: Any, error: Exception | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(reply)
                else:
                    future.set_exception(error)

        self._wire.send(self._process, request, answer)
        return await future

    async def close(self) -> None:
        """There is nothing to close."""


class SyncPerformer:
    """Sends requests from the strands of a process."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self._wire = wire
        self._process = process

    def perform(self, request: Request) -> Any:
        strand = self._process.here()
        answers: list[tuple[Any, Exception | None]] = []

        def answer(reply: Any, error: Exception | None) -> None:
            answers.append((reply, error))
            strand.wake()

        self._wire.send(self._process, request, answer)
        while not answers:
            strand.pause(None)
        reply, error = answers[0]
        if error is not None:
            raise error
        return reply

    def close(self) -> None:
        """There is nothing to close."""


class WireDriver:
    """The driver of one simulated process."""

    def __init__(self, wire: Wire, process: Process, operations: Operations[Any, Any]) -> None:
        self._wire = wire
        self._process = process
        self._operations = operations

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="simulated", durable=False, shared=True, results=True, push=True)

    @property
    def operations(self) -> Operations[Any, Any]:
        return self._operations

    def performer(self) -> SyncPerformer:
        return SyncPerformer(self._wire, self._process)

    def async_performer(self) -> AsyncPerformer:
        return AsyncPerformer(self._wire, self._process)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Any:
        raise AssertionError("nothing in a worker waits for the store in a thread")

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Waiter:
        return Waiter(self._wire, self._process)
