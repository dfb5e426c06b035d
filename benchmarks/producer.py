"""The sending side of a measurement, in a process of its own: ``python -m benchmarks.producer APP COMMAND ...``.

Prints one line of JSON. Neither the harness nor another system's library is loaded here, so a system is measured alone.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

from benchmarks.tally import FOLDER, count_stamps, read_stamps

WARM_UP: Final = 50
BULK: Final = 1_000
COROUTINES: Final = 100
TICK: Final = 0.02
"""Seconds between two parts of a steady stream."""
LEARNING: Final = 0.5
SPRINT: Final = 0.25
"""Share of the seconds of a load for which tasks are sent as fast as it goes before it, to know how many it may be."""
SETTLE: Final = 0.5
"""Seconds after the first task until a worker is taken to be idle."""
PAUSE: Final = (0.2, 0.3)
"""Shortest and longest seconds between two samples of idle latency."""
PATIENCE: Final = 20.0
"""Longest seconds to wait for a task that was sent."""


class Subject(Protocol):
    """What the app module of a system offers."""

    tasks: Mapping[str, Any]

    def send_many(self, name: str, count: int, queue: str | None = None) -> str: ...
    def send_mixed(self, order: str, seconds: float) -> None: ...
    def send_stamps(self, count: int) -> None: ...
    def run_workflow(self, kind: str, count: int) -> int: ...
    def left(self) -> int: ...
    def state(self, task_id: str) -> str: ...


def preload(subject: Subject, task: str, count: str, queues: str = "") -> str:
    """Send many tasks, the same number to each queue if some are named; return the id of the last one."""
    if not queues:
        return subject.send_many(task, int(count))
    names = queues.split(",")
    return [subject.send_many(task, int(count) // len(names), name) for name in names][-1]


def mixed(subject: Subject, order: str, seconds: str) -> int:
    """Send short tasks (``s``) and some that take so long (``L``), each with its place; return how many."""
    subject.send_mixed(order, float(seconds))
    return len(order)


def single(subject: Subject, task: str, seconds: str) -> float:
    """Call ``delay()`` one after another for so long; return calls per second."""
    delay = subject.tasks[task].delay
    for _ in range(WARM_UP):
        delay()
    calls, began = 0, time.perf_counter()
    until = began + float(seconds)
    while (now := time.perf_counter()) < until:
        for _ in range(10):
            delay()
        calls += 10
    return calls / (now - began)


def bulk(subject: Subject, task: str, seconds: str) -> float:
    """Send 1,000 tasks at a time for so long; return tasks per second."""
    subject.send_many(task, WARM_UP)
    sent, began = 0, time.perf_counter()
    until = began + float(seconds)
    while (now := time.perf_counter()) < until:
        subject.send_many(task, BULK)
        sent += BULK
    return sent / (now - began)


def concurrent(subject: Subject, task: str, seconds: str) -> float:
    """Call ``adelay()`` in a hundred coroutines of one event loop for so long; return calls per second."""
    adelay = subject.tasks[task].adelay

    async def send(until: float) -> int:
        calls = 0
        while time.perf_counter() < until:
            await adelay()
            calls += 1
        return calls

    async def main() -> float:
        await asyncio.gather(*(adelay() for _ in range(COROUTINES)))
        began = time.perf_counter()
        calls = await asyncio.gather(*(send(began + float(seconds)) for _ in range(COROUTINES)))
        return sum(calls) / (time.perf_counter() - began)

    return asyncio.run(main())


def load(subject: Subject, seconds: str) -> dict[str, Any]:
    """Measure how many tasks a second are sent and run at most; then send half as many for so long.

    What is due is sent at once, every 20 ms. The first half second is left out: the worker learns how much to take.

    Returns:
        ``waits``, the milliseconds from sending to each first line, ``rate``, at which they were sent, and ``most``.
    """
    total = ready(subject)
    sprinted, most = sprint(subject, float(seconds) * SPRINT, total)
    total += sprinted
    time.sleep(LEARNING)
    each, pause = steady(most / 2)
    ticks = max(1, round((float(seconds) + LEARNING) / pause))
    begun = time.monotonic_ns()
    for tick in range(ticks):
        due = begun + int(tick * pause * 1e9)
        if (early := (due - time.monotonic_ns()) / 1e9) > 0:
            time.sleep(early)
        subject.send_stamps(each)
    took = (time.monotonic_ns() - begun) / 1e9
    wait_for(total + each * ticks)
    waits = [(ran - sent) / 1e6 for sent, ran in stamps_since(begun + int(LEARNING * 1e9))]
    return {"waits": waits, "rate": each * ticks / took, "most": most}


def sprint(subject: Subject, seconds: float, total: int) -> tuple[int, float]:
    """Send for so long without a pause, about as many at once as can be sent within a tick, and wait until all ran.

    Args:
        subject: The system.
        seconds: How long to send.
        total: Tasks that ran here before.

    Returns:
        How many were sent, and how many a second that is from the first call until the last of them ran.
    """
    sent, each = 0, 1
    began = called = time.monotonic_ns()
    while called < began + seconds * 1e9:
        subject.send_stamps(each)
        sent += each
        returned = time.monotonic_ns()
        if returned - called < TICK * 1e9 / 2:
            each *= 2
        called = returned
    wait_for(total + sent)
    return sent, highest(stamps_since(began), began)


def highest(stamps: Sequence[tuple[int, int]], began: int) -> float:
    """Return the tasks per second that were sent from ``began`` on and had run when the last of them began."""
    return len(stamps) / (max(ran for _, ran in stamps) - began) * 1e9


def steady(rate: float) -> tuple[int, float]:
    """Return how many tasks to send at once, and every how many seconds, for a rate: a tick, or longer for one task."""
    each = max(1, round(rate * TICK))
    return each, each / rate


def latency(subject: Subject, samples: str, seed: str) -> list[float]:
    """Send one task at a time to an idle worker; return the milliseconds from the call to the first line of each.

    The pauses between them are long enough for the worker to be idle again, and random, so that they keep step with no
    way of polling.
    """
    delay = subject.tasks["stamp"].delay
    total = ready(subject)
    pauses = random.Random(int(seed))
    first = time.monotonic_ns()
    for _ in range(int(samples)):
        delay(time.monotonic_ns())
        time.sleep(pauses.uniform(*PAUSE))
    wait_for(total + int(samples))
    return [(ran - sent) / 1e6 for sent, ran in stamps_since(first)]


def workflow(subject: Subject, kind: str, count: str) -> float:
    """Send a chord or a chain of so many tasks and wait for its value; return tasks per second.

    Raises:
        SystemExit: It came to something else.
    """
    ready(subject)
    began = time.perf_counter()
    value = subject.run_workflow(kind, int(count))
    took = time.perf_counter() - began
    expected = sum(range(int(count))) if kind == "chord" else int(count)
    if value != expected:
        raise SystemExit(f"a {kind} of {count} tasks came to {value!r}, and not to {expected}")
    return int(count) / took


def ready(subject: Subject) -> int:
    """Wait until a worker runs and has nothing to do; return how many tasks ran for that.

    Raises:
        SystemExit: It does not run.
    """
    subject.tasks["stamp"].delay(time.monotonic_ns())
    wait_for(1)
    time.sleep(SETTLE)
    return 1


def wait_for(total: int) -> None:
    """Wait until so many stamps are there, of all that ran since this place was made.

    Raises:
        SystemExit: They did not come in time.
    """
    until = time.monotonic() + PATIENCE
    while (found := count_stamps(Path(os.environ[FOLDER]))) < total:
        if time.monotonic() > until:
            raise SystemExit(f"only {found} of {total} tasks had run {PATIENCE:.0f} s after sending")
        time.sleep(TICK)


def stamps_since(first: int) -> list[tuple[int, int]]:
    """Return (sent, ran) of what was sent at this time or later."""
    return [stamp for stamp in read_stamps(Path(os.environ[FOLDER])) if stamp[0] >= first]


def check(subject: Subject, task_id: str) -> dict[str, Any]:
    """Return how many tasks are left and, if an id is given, the state of that task."""
    return {"left": subject.left(), "state": subject.state(task_id) if task_id else None}


COMMANDS: Final = {
    "preload": preload,
    "mixed": mixed,
    "single": single,
    "bulk": bulk,
    "concurrent": concurrent,
    "latency": latency,
    "load": load,
    "workflow": workflow,
    "check": check,
}


def main(argv: Sequence[str]) -> None:
    """Run one command and print what it returned."""
    module, command, *arguments = argv
    subject = cast("Subject", importlib.import_module(module))
    run: Any = COMMANDS[command]
    print(json.dumps(run(subject, *arguments)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
