"""The mosaic example: its parts, then the demo as a user runs it, to its end and interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
from PIL import Image, ImageChops

from examples.mosaic import report
from examples.mosaic.covers import COVER_SIZE, damage, draw_cover, encode_jpeg, make_title
from examples.mosaic.interruption import Interrupted, Interruption
from examples.mosaic.pictures import (
    TILE,
    BrokenCover,
    compose_mosaic,
    encode_png,
    make_thumbnail,
    mosaic_grid,
    mosaic_size,
)
from examples.mosaic.report import Settled
from examples.mosaic.runs import Run, note, read_runs
from examples.mosaic.storage import (
    DEVICES,
    Folder,
    FolderInUse,
    StorageUnavailable,
    plan_outages,
    read_cover,
    write_whole,
)
from examples.mosaic.uploads import PLAYLISTS, Plan, plan_uploads

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "out")
    folder.make_anew()
    return folder


class TestPictures:
    def test_a_cover_depends_on_title_and_seed_only(self) -> None:
        once, again = draw_cover("Quiet Harbour", "7/a"), draw_cover("Quiet Harbour", "7/a")
        other = draw_cover("Quiet Harbour", "8/a")
        assert once.size == (COVER_SIZE, COVER_SIZE)
        assert ImageChops.difference(once, again).getbbox() is None
        assert ImageChops.difference(once, other).getbbox() is not None

    def test_every_motif_can_be_drawn(self) -> None:
        rng = Random(1)
        pictures = {draw_cover(make_title(rng), str(number)).tobytes() for number in range(40)}
        assert len(pictures) == 40

    def test_a_whole_cover_has_a_thumbnail(self) -> None:
        assert make_thumbnail(encode_jpeg(draw_cover("Open Radio", "1"))).size == (TILE, TILE)

    @pytest.mark.parametrize("data", [b"", b"no picture at all", damage(encode_jpeg(draw_cover("Open Radio", "1")))])
    def test_a_broken_cover_has_none(self, data: bytes) -> None:
        with pytest.raises(BrokenCover):
            make_thumbnail(data)

    @pytest.mark.parametrize("count", [0, 1, 3, 4, 9, 10, 25, 26, 200])
    def test_a_mosaic_has_room_for_all_and_less_than_a_row_to_spare(self, count: int) -> None:
        columns, rows = mosaic_grid(count)
        assert columns * rows >= count
        assert columns * (rows - 1) < max(count, 1)

    def test_a_mosaic_shows_each_thumbnail_once(self) -> None:
        colours = [(250, 10 * number, 5) for number in range(11)]
        mosaic = compose_mosaic("All", [Image.new("RGB", (TILE, TILE), colour) for colour in colours])
        assert mosaic.size == mosaic_size(11)
        found = {colour: number for number, colour in mosaic.getcolors(maxcolors=mosaic.width * mosaic.height) or ()}
        assert all(0.95 * TILE**2 < found[colour] <= TILE**2 for colour in colours)


class TestPlan:
    def test_the_same_seed_gives_the_same_plan(self) -> None:
        assert plan_uploads(60, 4, seed=3) == plan_uploads(60, 4, seed=3)
        assert plan_uploads(60, 4, seed=3) != plan_uploads(60, 4, seed=4)

    @pytest.mark.parametrize(("covers", "playlists"), [(12, 1), (12, 12), (24, 3), (200, 8)])
    def test_a_plan_holds_what_the_demo_shows(self, covers: int, playlists: int) -> None:
        plan = plan_uploads(covers, playlists, seed=7)
        uploads = plan.uploads
        assert len({upload.cover_path for upload in uploads}) == len(uploads) == covers
        assert {upload.playlist for upload in uploads} == set(plan.playlists) == set(PLAYLISTS[:playlists])
        assert any(upload.damaged for upload in uploads)
        assert {upload.outages for upload in uploads} == {0, 1, 2}
        assert not any(upload.damaged and upload.outages for upload in uploads)

    @pytest.mark.parametrize(
        ("covers", "playlists", "text"), [(11, 2, "covers"), (50, 0, "playlists"), (50, 99, "1 to")]
    )
    def test_numbers_out_of_range_are_refused(self, covers: int, playlists: int, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            plan_uploads(covers, playlists, seed=1)


class TestStorage:
    def test_a_planned_outage_passes(self, folder: Folder) -> None:
        write_whole(folder.cover("a/001.jpg"), b"cover")
        plan_outages(folder, "a/001.jpg", 2)
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match=r"a/001\.jpg"):
                read_cover(folder, "a/001.jpg")
        assert read_cover(folder, "a/001.jpg") == b"cover"

    def test_nothing_unfinished_is_left_beside_a_file(self, folder: Folder) -> None:
        path = folder.thumbnail("a/001.jpg")
        write_whole(path, b"one")
        write_whole(path, b"two")
        assert path.read_bytes() == b"two"
        assert list(path.parent.iterdir()) == [path]

    def test_a_new_demo_starts_with_an_empty_work_folder(self, folder: Folder) -> None:
        folder.database.touch()
        folder.make_anew()
        assert not folder.database.exists()

    def test_a_folder_that_no_demo_made_is_left_alone(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        folder.work.mkdir()
        (folder.work / "letter.txt").touch()
        with pytest.raises(FolderInUse, match="MOSAIC_DIR"):
            folder.make_anew()
        assert (folder.work / "letter.txt").exists()

    def test_two_demos_do_not_share_a_folder(self, folder: Folder) -> None:
        with folder.held(), pytest.raises(FolderInUse, match="another demo"), folder.held():
            pass
        with folder.held():
            pass


class TestInterruption:
    @pytest.fixture(autouse=True)
    def _handlers(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_a_wait_and_not_what_comes_before(self, number: signal.Signals) -> None:
        interruption = Interruption()
        interruption.wait(0.001)
        signal.raise_signal(number)
        assert interruption.count == 1
        with pytest.raises(Interrupted):
            interruption.wait(3600)


@pytest.fixture
def plan() -> Plan:
    return plan_uploads(12, 2, seed=5)


@pytest.fixture
def settled(plan: Plan, folder: Folder) -> list[Settled]:
    """Everything that a faultless run of ``plan`` leaves, in files, notes and results."""
    results: list[Settled] = []
    for upload in plan.uploads:
        if upload.damaged:
            results.append(Settled("make_thumbnail", upload.cover_path, "FAILURE", BrokenCover("truncated")))
        else:
            write_whole(folder.thumbnail(upload.cover_path), b"")
            results.append(Settled("make_thumbnail", upload.cover_path, "SUCCESS", "name"))
        for _ in range(upload.outages):
            note(folder.runs, Run("make_thumbnail", upload.cover_path, "RETRY", 0.5))
        note(folder.runs, Run("make_thumbnail", upload.cover_path, results[-1].state, 0.25))
    for playlist in plan.playlists:
        covers = plan.sound_covers(playlist)
        write_whole(folder.mosaic(playlist), encode_png(Image.new("RGB", mosaic_size(covers))))
        for device in DEVICES:
            write_whole(folder.notice(playlist, device), json.dumps({"covers": covers}).encode())
        results.append(Settled("build_mosaic", playlist, "SUCCESS", covers))
        results.append(Settled("notify_playlist", playlist, "SUCCESS", len(DEVICES)))
    return results


class TestReport:
    def test_a_faultless_run_has_no_faults(self, plan: Plan, settled: list[Settled], folder: Folder) -> None:
        assert report.faults(plan, settled, read_runs(folder.runs), folder) == []

    def test_rows_count_results_and_runs(self, settled: list[Settled], folder: Folder) -> None:
        rows = report.count(settled, read_runs(folder.runs))
        first, total = rows[0], rows[-1]
        assert [row.task for row in rows] == ["make_thumbnail", "build_mosaic", "notify_playlist", "total"]
        assert (first.tasks, first.succeeded, first.failed_on_purpose, first.failed) == (12, 11, 1, 0)
        assert (first.runs, first.retried) == (12 + 3, 3)
        assert first.seconds == pytest.approx(12 * 0.25 + 3 * 0.5)
        assert (total.tasks, total.succeeded, total.failed_on_purpose) == (16, 15, 1)

    def test_a_failure_of_another_kind_is_not_on_purpose(self) -> None:
        row = report.count([Settled("make_thumbnail", "a", "FAILURE", OSError("disk"))], [])[0]
        assert (row.failed_on_purpose, row.failed) == (0, 1)

    @pytest.mark.parametrize(
        ("spoil", "text"),
        [
            (lambda folder, settled: settled.pop(0), "never ended"),
            (lambda folder, settled: shutil.rmtree(folder.work / "thumbnails"), "there is no thumbnail"),
            (lambda folder, settled: note(folder.runs, Run("make_thumbnail", "x", "RETRY", 0.1)), "retries are"),
            (lambda folder, settled: shutil.rmtree(folder.work / "notices"), "told of"),
            (lambda folder, settled: settled.pop(), "not told"),
            (
                lambda folder, settled: settled.append(Settled("build_mosaic", PLAYLISTS[0], "SUCCESS", 1)),
                "last mosaic",
            ),
            (lambda folder, settled: folder.mosaic(PLAYLISTS[0]).unlink(), "is not a PNG"),
            (lambda folder, settled: write_whole(folder.mosaic(PLAYLISTS[0]), b"GIF89a"), "is not a PNG"),
            (lambda folder, settled: Image.new("L", (9, 9)).save(folder.mosaic(PLAYLISTS[0])), "pixels"),
        ],
    )
    def test_each_fault_has_a_sentence(
        self,
        plan: Plan,
        settled: list[Settled],
        folder: Folder,
        spoil: Callable[[Folder, list[Settled]], object],
        text: str,
    ) -> None:
        spoil(folder, settled)
        assert text in " ".join(report.faults(plan, settled, read_runs(folder.runs), folder))


HANG = """
import os, signal, sys
if "worker" in sys.orig_argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.fork()
    while True:
        signal.pause()
"""
"""Makes a worker, with one child, of which neither does anything nor ends when asked."""
OUTLIVE = """
import os, signal, sys, time
if "worker" in sys.orig_argv:
    worker = os.getpid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while os.getppid() == worker:
            time.sleep(0.01)
        time.sleep({seconds})
        os._exit(0)
    signal.pause()
"""
"""Makes a worker that ends when asked, and a child that lives on for so many seconds."""


class Demo:
    """The demo in a session of its own, so that every process it starts can be found."""

    def __init__(self, root: Path, *options: str, imports_first: str = "") -> None:
        early = root.with_suffix(".early")  # Python imports a module named sitecustomize before anything else.
        early.mkdir()
        (early / "sitecustomize.py").write_text(imports_first)
        paths = os.pathsep.join([str(early), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.folder = Folder(root)
        self._output = root.with_suffix(".txt")
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "examples.mosaic.demo", *options],
                cwd=PROJECT,
                env={**os.environ, "MOSAIC_DIR": str(root), "COLUMNS": "100", "PYTHONPATH": paths},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """Return what the demo has printed so far."""
        return self._output.read_text()

    def others(self) -> list[int]:
        """Return the ids of the living processes of the session, without the demo's own."""
        return [pid for pid in psutil.pids() if pid != self._process.pid and self._lives_here(pid)]

    def _lives_here(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self._process.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            return False

    def worker(self) -> int:
        """Return the id of the worker, which is the only child of the demo."""
        (child,) = psutil.Process(self._process.pid).children()
        return child.pid

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not condition():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"the demo did not get that far:\n{self.output()}")
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end and return exit code and output."""
        return self._process.wait(timeout=50), self.output()

    def close(self) -> None:
        """Kill what a failed test has left."""
        for pid in [*self.others(), *([self._process.pid] if self._process.poll() is None else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    demos: list[Demo] = []

    def start(*options: str, imports_first: str = "") -> Demo:
        demos.append(Demo(tmp_path / "out", *options, imports_first=imports_first))
        return demos[-1]

    yield start
    for demo in demos:
        demo.close()


class TestDemo:
    def test_it_makes_every_mosaic_and_leaves_no_process(self, start: Callable[..., Demo]) -> None:
        demo = start("--covers", "24", "--playlists", "3")
        code, output = demo.end()
        assert code == 0, output
        assert demo.others() == []
        assert sorted(path.stem for path in demo.folder.root.glob("*.png")) == sorted(PLAYLISTS[:3])
        assert str(demo.folder.root) in output
        runs = read_runs(demo.folder.runs)
        plan = plan_uploads(24, 3, seed=7)
        retried = sum(upload.outages for upload in plan.uploads)
        (total,) = (line.split() for line in output.splitlines() if line.split()[:1] == ["total"])
        tasks = len({run.id for run in runs})
        damaged = sum(upload.damaged for upload in plan.uploads)
        assert total[1:7] == [str(n) for n in (tasks, tasks - damaged, damaged, 0, len(runs), retried)]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_interrupted_midway_it_leaves_no_process(self, start: Callable[..., Demo], number: signal.Signals) -> None:
        demo = start("--covers", "400")
        demo.wait_for(lambda: len(read_runs(demo.folder.runs)) > 5)
        assert len(demo.others()) >= 3, "a worker and its two children"
        demo.signal(number)
        code, output = demo.end()
        assert code == 130, output
        assert demo.others() == []
        assert "Interrupted" in output

    def test_a_second_signal_kills_a_worker_that_hangs(self, start: Callable[..., Demo]) -> None:
        demo = start(imports_first=HANG)
        demo.wait_for(lambda: len(demo.others()) == 2)
        demo.signal(signal.SIGINT)
        demo.wait_for(lambda: "Ctrl-C again" in demo.output())
        began = time.monotonic()
        demo.signal(signal.SIGINT)
        code, output = demo.end()
        assert code == 130, output
        assert demo.others() == []
        assert time.monotonic() - began < 8, "the grace period is 10 s"

    @pytest.mark.parametrize(("seconds", "told"), [(0.3, False), (60, True)])
    def test_what_outlives_the_worker_is_waited_for_then_killed(
        self, start: Callable[..., Demo], seconds: float, told: bool
    ) -> None:
        demo = start(imports_first=OUTLIVE.format(seconds=seconds))
        demo.wait_for(lambda: len(demo.others()) == 2)
        demo.signal(signal.SIGINT)
        code, output = demo.end()
        assert code == 130, output
        assert demo.others() == []
        assert ("left processes behind" in output) == told

    def test_interrupted_while_the_worker_starts_it_leaves_no_process(self, start: Callable[..., Demo]) -> None:
        demo = start()
        demo.wait_for(lambda: demo.folder.worker_log.exists() and len(demo.others()) > 0)
        demo.signal(signal.SIGINT)
        code, output = demo.end()
        assert code == 130, output
        assert demo.others() == []

    def test_it_says_so_when_the_worker_is_killed(self, start: Callable[..., Demo]) -> None:
        demo = start("--covers", "400")
        demo.wait_for(lambda: len(read_runs(demo.folder.runs)) > 5)
        os.kill(demo.worker(), signal.SIGKILL)
        code, output = demo.end()
        assert code == 1, output
        assert "the worker ended on its own with exit code -9" in output
        assert demo.others() == []

    def test_wrong_options_are_refused_before_anything_starts(self, start: Callable[..., Demo]) -> None:
        demo = start("--covers", "3")
        code, output = demo.end()
        assert (code, "covers must be at least 12" in output) == (2, True), output
        assert not demo.folder.work.exists()
