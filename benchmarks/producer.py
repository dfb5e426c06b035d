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

from benchmarks.tally import FOLDER, read_stamps

WARM_UP: Final = 50
BULK: Final = 1_000
COROUTINES: Final = 100
TICK: Final = 0.02
"""Seconds between two parts of a steady stream."""
LEARNING: Final = 0.5
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


def load(subject: Subject, rate: str, seconds: str) -> dict[str, Any]:
    """Send at a steady rate, what is due every 20 ms at once; return the milliseconds from sending to each first line.

    The first half second is left out: the worker learns how much to take.
    """
    wait_for(subject, 0)
    time.sleep(1.0)
    each = max(1, round(int(rate) * TICK))
    ticks = max(1, round((float(seconds) + LEARNING) / TICK))
    first = begun = time.monotonic_ns()
    for tick in range(ticks):
        due = begun + int(tick * TICK * 1e9)
        if (pause := (due - time.monotonic_ns()) / 1e9) > 0:
            time.sleep(pause)
        subject.send_stamps(each)
    took = (time.monotonic_ns() - begun) / 1e9
    stamps = wait_for(subject, each * ticks, first)
    waits = [(ran - sent) / 1e6 for sent, ran in stamps if sent >= begun + LEARNING * 1e9]
    return {"waits": waits, "rate": each * ticks / took}


def latency(subject: Subject, samples: str, seed: str) -> list[float]:
    """Send one task at a time to an idle worker; return the milliseconds from the call to the first line of each.

    The pauses between them are long enough for every way of polling to become slow, and random, so that they keep step
    with none.
    """
    delay = subject.tasks["stamp"].delay
    wait_for(subject, 0)
    pauses = random.Random(int(seed))
    time.sleep(1.0)
    first = time.monotonic_ns()
    for _ in range(int(samples)):
        delay(time.monotonic_ns())
        time.sleep(pauses.uniform(0.25, 0.35))
    return [(ran - sent) / 1e6 for sent, ran in wait_for(subject, int(samples), first)]


def workflow(subject: Subject, kind: str, count: str) -> float:
    """Send a chord or a chain of so many tasks and wait for its value; return tasks per second.

    Raises:
        SystemExit: It came to something else.
    """
    wait_for(subject, 0)
    time.sleep(1.0)
    began = time.perf_counter()
    value = subject.run_workflow(kind, int(count))
    took = time.perf_counter() - began
    expected = sum(range(int(count))) if kind == "chord" else int(count)
    if value != expected:
        raise SystemExit(f"a {kind} of {count} tasks came to {value!r}, and not to {expected}")
    return int(count) / took


def wait_for(subject: Subject, samples: int, first: int = 0) -> list[tuple[int, int]]:
    """Wait until so many stamps since ``first`` are there, and return them; 0 sends one task and waits for it.

    Raises:
        SystemExit: They did not come in time.
    """
    if not samples:
        subject.tasks["stamp"].delay(time.monotonic_ns())
    until = time.monotonic() + PATIENCE
    while True:
        stamps = [stamp for stamp in read_stamps(Path(os.environ[FOLDER])) if stamp[0] >= first]
        if len(stamps) >= max(1, samples):
            return stamps
        if time.monotonic() > until:
            raise SystemExit(f"only {len(stamps)} of {max(1, samples)} tasks had run {PATIENCE:.0f} s after sending")
        time.sleep(0.02)


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
