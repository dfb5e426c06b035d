"""The demo: uploads covers in bursts, watches a worker make mosaics of them, and checks what came out.

It plays the web side of a music site and starts the worker itself, so one command shows everything:
``python -m examples.mosaic.demo``. It ends with 0 if every number and every file is as it must be, with 1 and a
sentence if not, with 130 after Ctrl-C, and leaves no process behind in any case.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from examples.mosaic import report
from examples.mosaic.app import folder
from examples.mosaic.covers import damage, draw_cover, encode_jpeg
from examples.mosaic.interruption import EXIT_CODE, Interrupted, Interruption
from examples.mosaic.report import Settled
from examples.mosaic.runs import read_runs
from examples.mosaic.storage import FolderInUse, plan_outages, write_whole
from examples.mosaic.tasks import build_mosaic, make_thumbnail, notify_playlist
from examples.mosaic.uploads import Plan, Upload, plan_uploads
from examples.mosaic.worker_process import WorkerFailed, WorkerProcess

_PAUSE: Final = 0.2
"""Seconds between two bursts."""
_LOOK_EVERY: Final = 0.05
"""Seconds between two looks at the results that are awaited."""


class TooSlow(Exception):
    """The tasks were not done in time."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that was sent and whose result is awaited."""

    task: str
    subject: str
    result: Any


class Watch:
    """Sends tasks, follows their results as they come in, and moves the progress bars.

    Args:
        progress: Gets one bar for each task name.
        pause: Waits so many seconds; raises what is to end the demo before its time.
        until: When to give up, on the steady clock.
    """

    def __init__(self, progress: Progress, pause: Callable[[float], None], until: float) -> None:
        self._progress = progress
        self._pause = pause
        self._until = until
        self._bars: dict[str, TaskID] = {}
        self._waiting: list[Waiting] = []
        self._on_purpose = 0
        self.settled: list[Settled] = []

    def bar(self, name: str, total: int = 0) -> TaskID:
        """Return the bar of that name; the first call adds it."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, note="")
        return self._bars[name]

    def send(self, task: Any, subject: str, *args: object) -> None:
        """Enqueue ``task`` for ``subject`` and remember its result."""
        name = task.name.rpartition(".")[2]
        bar = self.bar(name)
        self._waiting.append(Waiting(name, subject, task.delay(subject, *args)))
        self._progress.update(bar, total=(self._progress.tasks[bar].total or 0) + 1)

    def collect(self) -> None:
        """Take in the results that have arrived."""
        still: list[Waiting] = []
        for item in self._waiting:
            if not item.result.ready():
                still.append(item)
                continue
            settled = Settled(item.task, item.subject, item.result.state, item.result.result)
            self.settled.append(settled)
            self._on_purpose += settled.failed_on_purpose
            bar = self.bar(item.task)
            self._progress.advance(bar)
            if settled.failed_on_purpose:
                self._progress.update(bar, note=f"{self._on_purpose} failed on purpose")
        self._waiting = still

    def wait(self) -> None:
        """Collect until every task that was sent is over.

        Raises:
            TooSlow: They were not over in time; the text names some of them.
        """
        while self._waiting:
            self._pause(_LOOK_EVERY)
            self.collect()
            if self._waiting and time.monotonic() > self._until:
                some = ", ".join(f"{item.task}({item.subject})" for item in self._waiting[:3])
                raise TooSlow(f"{len(self._waiting)} tasks were not over in time, among them {some}")


def upload(item: Upload, seed: int) -> None:
    """Put one cover into the storage, as the web side would on an upload."""
    data = encode_jpeg(draw_cover(item.title, f"{seed}/{item.cover_path}"))
    if item.outages:
        plan_outages(folder, item.cover_path, item.outages)
    write_whole(folder.cover(item.cover_path), damage(data) if item.damaged else data)


def play(plan: Plan, seed: int, watch: Watch, progress: Progress, pause: Callable[[float], None]) -> None:
    """Upload everything in bursts, then ask once more for each mosaic and have its devices told."""
    uploaded = watch.bar("uploads", total=len(plan.uploads))
    for burst in plan.bursts:
        for item in burst:
            pause(0)
            upload(item, seed)
            watch.send(make_thumbnail, item.cover_path)
            progress.update(uploaded, advance=1)
        # Thumbnails of this burst may still be missing in the mosaic: the next burst asks for it again.
        for playlist in sorted({item.playlist for item in burst}):
            watch.send(build_mosaic, playlist)
        watch.collect()
        pause(_PAUSE)
    watch.wait()
    for playlist in plan.playlists:
        watch.send(build_mosaic, playlist)
    watch.wait()
    covers = {item.subject: item.value for item in watch.settled if item.task == "build_mosaic"}
    for playlist in plan.playlists:
        watch.send(notify_playlist, playlist, covers[playlist])
    watch.wait()


def run(plan: Plan, options: argparse.Namespace, console: Console, interruption: Interruption) -> int:
    """Run the demo in a fresh folder and return its exit code."""
    folder.make_anew()
    for playlist in plan.playlists:
        folder.mosaic(playlist).unlink(missing_ok=True)
    interruption.check()
    worker = WorkerProcess(folder, options.processes, interruption)
    try:
        console.print(f"Worker {worker.pid} starts with {options.processes} processes ...")
        worker.wait_until_ready()
        started = time.monotonic()
        progress = _progress(console)

        def pause(seconds: float) -> None:
            worker.check()
            interruption.wait(seconds)

        with progress:
            watch = Watch(progress, pause, until=started + options.timeout)
            play(plan, options.seed, watch, progress, pause)
        seconds = time.monotonic() - started
    except BaseException as reason:
        if isinstance(reason, Interrupted):
            console.print("Interrupted: the worker ends what it is running. Ctrl-C again kills it.")
        _stop_whatever_happened(worker, console)
        raise
    worker.stop()
    interruption.check()
    return tell(plan, watch.settled, options.processes, seconds, console)


def tell(plan: Plan, settled: Sequence[Settled], processes: int, seconds: float, console: Console) -> int:
    """Show the table, check the outcome, and return the exit code."""
    runs = read_runs(folder.runs)
    console.print(report.table(report.count(settled, runs), processes, seconds))
    found = report.faults(plan, settled, runs, folder)
    for fault in found:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    if found:
        return 1
    console.print(f"{len(plan.playlists)} mosaics, all checked, are in:")
    console.print(str(folder.root), soft_wrap=True, highlight=False)
    return 0


def _stop_whatever_happened(worker: WorkerProcess, console: Console) -> None:
    """Stop the worker on the way out of a failure, which matters more than how the stop went."""
    try:
        worker.stop()
    except WorkerFailed as error:
        console.print(f"While stopping: {error}", style="yellow", markup=False, soft_wrap=True)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="yellow"),
        console=console,
    )


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Plan]:
    """Return the options of the command line and the plan that they ask for; wrong ones end the program."""
    parser = argparse.ArgumentParser(prog="python -m examples.mosaic.demo", description="Make playlist cover mosaics.")
    parser.add_argument("--covers", type=int, default=200, help="how many covers are uploaded (default: 200)")
    parser.add_argument("--playlists", type=int, default=8, help="how many playlists get them (default: 8)")
    parser.add_argument("--processes", type=int, default=2, help="child processes of the worker (default: 2)")
    parser.add_argument("--seed", type=int, default=7, help="another seed, other covers and faults (default: 7)")
    parser.add_argument("--timeout", type=float, default=300.0, help="give up after so many seconds (default: 300)")
    options = parser.parse_args(arguments)
    if options.processes < 1:
        parser.error(f"processes must be at least 1, not {options.processes}")
    try:
        return options, plan_uploads(options.covers, options.playlists, options.seed)
    except ValueError as error:
        parser.error(str(error))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo as a command."""
    options, plan = parse(arguments)
    interruption = Interruption()
    console = Console()
    try:
        with folder.held():
            return run(plan, options, console, interruption)
    except Interrupted:
        console.print("No process of the demo is left.")
        return EXIT_CODE
    except (FolderInUse, TooSlow, WorkerFailed) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
