"""How many schedule entries one scheduler keeps on time.

``python -m benchmarks.schedule URL`` fills a store with 150,000 entries, each due every ten seconds, starts a scheduler
in a process of its own, bound to one core where the system can do that, and tells how late runs are sent, what that
costs, and whether anything grows. ``--stored 1000000`` stores so many crontabs beside them that are due rarely, and
tells how long it takes to add, to change and to remove one, without the scheduler and beside it: the windows show
whether that disturbs a tick. With ``--entries 0`` they show what a scheduler costs that has nothing to do.
``--celery`` runs Celery's beat with the same entries instead.

What was sent is thrown away every half second by another process: workers are measured elsewhere.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import resource
import sys
import threading
import time
from collections import Counter
from typing import Any, Final

import msgspec

from celeriac import Celeriac
from celeriac.brokers.facade import SyncBroker
from celeriac.core.schedule import Crontab, Entry, Interval
from celeriac.core.scheduled import StoredEntry, Writing
from celeriac.events import Bus, EntriesFired
from celeriac.scheduler import flows

QUEUE: Final = "bench-schedule"
BATCH: Final = 500
EDITS: Final = 500
PARTS: Final = 10_000
"""Parts of a second in which lateness is counted."""
PAGE: Final = resource.getpagesize()


class Window(msgspec.Struct):
    """What a scheduler did in one part of the run.

    Attributes:
        seconds: How long it was.
        fired: Runs sent.
        p50, p99, most: Lateness of runs in seconds, each from its due time until the store had its message.
        cpu: Seconds of CPU time of the scheduler's process.
        rss: Resident bytes of it at the end.
    """

    seconds: float
    fired: int
    p50: float
    p99: float
    most: float
    cpu: float
    rss: int


def make_app(url: str) -> Celeriac:
    """Return the app; its task's code is nowhere needed."""
    app = Celeriac("bench", broker=url, backend=None, set_as_current=False)

    @app.task(name="bench.tick", queue=QUEUE)
    def tick(number: int) -> None:
        """Do nothing."""

    return app


def fill(broker: SyncBroker[Any, Any], entries: list[tuple[Entry, float]]) -> float:
    """Write entries with their first due times; return the seconds it took."""
    began = time.perf_counter()
    for first in range(0, len(entries), BATCH):
        part = entries[first : first + BATCH]
        broker.put_entries(
            [
                Writing(StoredEntry(name=entry.name, body=flows.pack_body(entry), edition=flows.new_edition(), due=due))
                for entry, due in part
            ]
        )
    return time.perf_counter() - began


def every(count: int, seconds: float, now: float) -> list[tuple[Entry, float]]:
    """Return entries that are due every so many seconds, spread over that time."""
    return [
        (
            Entry(name=f"tick-{number:07d}", task="bench.tick", trigger=Interval(seconds), args=(number,)),
            now + 3.0 + seconds * number / count,
        )
        for number in range(count)
    ]


def crontabs(count: int, now: float) -> list[tuple[Entry, float]]:
    """Return entries with mixed crontabs, due some time in the next month."""
    rng = random.Random(1)
    found: list[tuple[Entry, float]] = []
    for number in range(count):
        trigger = Crontab(str(rng.randrange(60)), str(rng.randrange(24)), rng.choice(("*", "1", "15")))
        due = now + 3600 + rng.random() * 30 * 86400
        found.append((Entry(name=f"cron-{number:07d}", task="bench.tick", trigger=trigger, args=(number,)), due))
    return found


def throw_away(url: str, until: float) -> None:
    """Empty the queue, time and again, until this moment of the steady clock."""
    app = make_app(url)
    while time.monotonic() < until:
        app.broker.purge(QUEUE)
        app.broker.prune(None, BATCH)
        time.sleep(0.5)


def bind() -> None:
    """Bind this process to one core, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def schedule(url: str, seconds: float, window: float, told: Any) -> None:
    """Run a scheduler for so many seconds, and tell what it did in each window."""
    bind()
    app = make_app(url)
    bus = Bus()
    late: Counter[int] = Counter()  # Counted, so that the memory that is measured is the scheduler's.
    bus.subscribe(EntriesFired, lambda event: late.update([int(one * PARTS) for one in event.waited]))
    began = time.monotonic()
    scheduler = app.schedule.scheduler(bus)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    while not scheduler.status.leads:
        time.sleep(0.001)
    told.send(time.monotonic() - began)
    windows(late, began + seconds, window, told)
    scheduler.stop()
    thread.join()
    told.send(None)


def windows(late: Counter[int], end: float, window: float, told: Any) -> None:
    """Tell of each window until a moment of the steady clock what was counted in it.

    Args:
        late: Runs by their lateness, in parts of a second; others count on.
        end: The moment.
        window: Seconds of one.
        told: A pipe.
    """
    cpu = time.process_time()
    while time.monotonic() < end:
        start = time.monotonic()
        time.sleep(min(window, max(0.0, end - start)))
        done = Counter(late)
        late.subtract(done)
        before, cpu = cpu, time.process_time()
        told.send(_window(time.monotonic() - start, done, cpu - before))


def _window(seconds: float, done: Counter[int], cpu: float) -> Window:
    with open("/proc/self/statm", encoding="ascii") as statm:
        rss = int(statm.read().split()[1]) * PAGE
    total = done.total()
    p50, p99, most = [_quantile(done, total * share) for share in (0.5, 0.99, 1.0)]
    return Window(seconds, total, p50, p99, most, cpu, rss)


def _quantile(done: Counter[int], place: float) -> float:
    for late in sorted(late for late, count in done.items() if count):
        place -= done[late]
        if place <= 0:
            return late / PARTS
    return 0.0


def measure(
    url: str, seconds: float, window: float, *, peer: Any = None, entries: tuple[int, float] = (0, 0.0)
) -> tuple[float, list[Window]]:
    """Run a scheduler in a process of its own; return the seconds to its first turn, and its windows.

    Args:
        url: The store.
        seconds: How long.
        window: Seconds of one line.
        peer: A module that has another scheduler.
        entries: For that: how many, and every how many seconds each.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    thrower = context.Process(
        target=peer.throw_away if peer else throw_away, args=(url, time.monotonic() + seconds + 2)
    )
    process = (
        context.Process(target=peer.run, args=(url, entries, seconds, window, there))
        if peer
        else context.Process(target=schedule, args=(url, seconds, window, there))
    )
    thrower.start()
    process.start()
    started: float = here.recv()
    found: list[Window] = []
    while (one := here.recv()) is not None:
        found.append(one)
        print(
            f"{one.fired / one.seconds:8,.0f} runs/s, late p50 {one.p50 * 1e3:6.1f} ms, p99 {one.p99 * 1e3:6.1f} ms,"
            f" most {one.most * 1e3:6.1f} ms, CPU {one.cpu / one.seconds:4.0%}, {one.rss / 2**20:4.0f} MiB",
            flush=True,
        )
    process.join()
    thrower.join()
    return started, found


def edits(url: str, count: int, pause: float = 0.0) -> dict[str, str]:
    """Add, change and remove entries among many; return the median and the 99th percentile of each."""
    app = make_app(url)
    took: dict[str, list[float]] = {"add": [], "update": [], "remove": []}
    for number in range(count):
        name = f"edit-{number}"
        for what, call in (
            ("add", lambda name=name: app.schedule.add(name, "bench.tick", cron="5 4 * * *", args=(1,))),
            ("update", lambda name=name: app.schedule.update(name, cron="6 4 * * *")),
            ("remove", lambda name=name: app.schedule.remove(name)),
        ):
            began = time.perf_counter()
            call()
            took[what].append(time.perf_counter() - began)
            time.sleep(pause)
    app.close()
    found: dict[str, str] = {}
    for what, each in took.items():
        each.sort()
        found[f"{what} p50"] = f"{each[len(each) // 2] * 1e3:.2f} ms"
        found[f"{what} p99"] = f"{each[int(len(each) * 0.99)] * 1e3:.2f} ms"
    return found


def edit_beside(url: str, seconds: float) -> None:
    """Edit for a good part of these seconds, and tell how long that took."""
    print("beside the scheduler:", json.dumps(edits(url, EDITS, seconds / 2 / EDITS / 3)), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedule", description=__doc__)
    parser.add_argument("url", help="an empty store")
    parser.add_argument("--entries", type=int, default=150_000)
    parser.add_argument("--every", type=float, default=10.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--window", type=float, default=20.0, help="seconds of one line")
    parser.add_argument("--stored", type=int, default=0, help="so many rare crontabs beside them, and time edits")
    parser.add_argument("--celery", action="store_true", help="run Celery's beat instead; URL is its broker's")
    given = parser.parse_args(argv)
    if given.celery:
        peer = importlib.import_module("benchmarks.baselines.celery_beat")
        entries = (given.entries, given.every)
        started, found = measure(given.url, given.seconds, given.window, peer=peer, entries=entries)
        print(f"{started:.2f} s from nothing to the first run; {sum(one.fired for one in found):,} runs")
        return 0
    app = make_app(given.url)
    app.broker.install()
    now = app.broker.now()
    took = fill(app.broker, crontabs(given.stored, now))
    took += fill(app.broker, every(given.entries, given.every, app.broker.now() + given.entries / 1e4))
    print(f"{given.stored + given.entries:,} entries written in {took:.1f} s", flush=True)
    editor = threading.Thread(target=edit_beside, args=(given.url, given.seconds))
    if given.stored:
        print("alone:", json.dumps(edits(given.url, EDITS)), flush=True)
        editor.start()
    started, found = measure(given.url, given.seconds, given.window)
    if given.stored:
        editor.join()
    print(f"{started:.2f} s from nothing to the lead; {sum(one.fired for one in found):,} runs")
    app.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
