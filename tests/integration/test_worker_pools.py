"""What tasks may do in a worker, in each pool and with each way to start a child."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.core import state
from celeriac.result import AsyncResult
from tests.support.backing import SqliteBacking
from tests.support.fleet import Project, Worker

EXTRA = """
import asyncio, logging, multiprocessing, subprocess, sys, threading

log = logging.getLogger("proj.tasks")


@app.task(bind=True, name="flaky", max_retries=5, default_retry_delay=0.05)
def flaky(self, failures):
    write("start", self.request)
    if self.request.retries < failures:
        raise self.retry(exc=ValueError("not yet"))
    return self.request.retries


@app.task(bind=True, name="aflaky", autoretry_for=(ValueError,), default_retry_delay=0.05, max_retries=5)
async def aflaky(self, failures):
    write("start", self.request)
    await asyncio.sleep(0)
    if self.request.retries < failures:
        raise ValueError("not yet")
    return self.request.retries


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="total")
async def total(values):
    await asyncio.sleep(0.001)
    return sum(values)


@app.task(name="fail")
def fail(text):
    log.warning("about to fail")
    raise ValueError(text)


@app.task(name="sends")
def sends():
    return [add.delay(1, 2).id]


@app.task(name="asends")
async def asends():
    return [(await add.adelay(3, 4)).id]


@app.task(name="commands")
def commands():
    done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True)
    return int(done.stdout)


@app.task(name="acommands")
async def acommands():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(6 * 7)", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return int(out)


def _square(connection, number):
    connection.send(number * number)


@app.task(name="forks")
def forks():
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_square, args=(theirs, 6))
    process.start()
    answer = ours.recv()
    process.join()
    return answer


@app.task(name="threads")
def threads():
    found = []
    thread = threading.Thread(target=lambda: found.append(threading.current_thread() is not threading.main_thread()))
    thread.start()
    thread.join()
    return found


@app.task(bind=True, name="progress")
def progress(self, steps):
    for step in range(steps):
        self.update_state(state="PROGRESS", meta={"step": step})
        time.sleep(0.05)
    return steps


@app.task(name="loop")
async def loop():
    return threading.current_thread() is threading.main_thread()
"""

SHAPES = {
    "prefork": ("-c", "2"),
    "prefork-spawn": ("-c", "2", "--pool-start-method", "spawn"),
    "prefork-fork": ("-c", "2", "--pool-start-method", "fork"),
    "prefork-threads": ("-c", "1", "--threads", "3"),
    "threads": ("-P", "threads", "-c", "3"),
    "asyncio": ("-P", "asyncio", "-c", "20"),
    "solo": ("-P", "solo"),
}


@pytest.fixture(scope="module", params=list(SHAPES))
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Worker]]:
    """A project with one worker of each shape, which must end well."""
    folder: Path = tmp_path_factory.mktemp(f"pool_{request.param}".replace("-", "_"))
    project = Project(folder, SqliteBacking(folder), extra=EXTRA)
    worker = project.start_worker(*SHAPES[request.param])
    yield project, worker
    try:
        worker.stop()
        errors = [line for line in worker.log().splitlines() if ": ERROR/" in line]
        assert [line for line in errors if "as meant" not in line] == []
    finally:
        project.close()


def result(project: Project, name: str, *args: object) -> object:
    """Run a task; return its value."""
    return project.app.tasks[name].apply_async(args).get(timeout=20)


@pytest.mark.parametrize("name", ["flaky", "aflaky"])
def test_retries_keep_the_id_and_wait_in_the_broker(served: tuple[Project, Worker], name: str) -> None:
    project, _ = served
    receipt = project.app.tasks[name].delay(2)
    assert receipt.get(timeout=20) == 2
    times = [run.at for run in project.runs(receipt.id)]
    assert len(times) == 3
    assert all(later - earlier >= 0.04 for earlier, later in itertools.pairwise(times))


def test_callbacks_follow(served: tuple[Project, Worker]) -> None:
    project, _ = served
    add, total = project.app.tasks["add"], project.app.tasks["total"]
    receipt = total.apply_async(([1, 2, 3],), link=add.s(10))
    assert receipt.get(timeout=20) == 6
    children = receipt.children
    assert children is not None
    assert children[0].get(timeout=20) == 16


def test_failure_is_raised_here_and_logged_there(served: tuple[Project, Worker]) -> None:
    project, worker = served
    receipt = project.app.tasks["fail"].delay("as meant")
    with pytest.raises(ValueError, match="as meant"):
        receipt.get(timeout=20)
    assert receipt.traceback is not None
    assert "raise ValueError(text)" in receipt.traceback
    worker.wait_log("ValueError: as meant")
    assert "about to fail" in worker.log()


@pytest.mark.parametrize(("name", "value"), [("sends", 3), ("asends", 7)])
def test_tasks_send_tasks(served: tuple[Project, Worker], name: str, value: int) -> None:
    project, _ = served
    ids = result(project, name)
    assert isinstance(ids, list)
    assert AsyncResult(ids[0], app=project.app).get(timeout=20) == value


@pytest.mark.parametrize(
    ("name", "value"), [("commands", 42), ("acommands", 42), ("forks", 36), ("threads", [True]), ("loop", False)]
)
def test_tasks_start_processes_and_threads(served: tuple[Project, Worker], name: str, value: object) -> None:
    project, _ = served
    assert result(project, name) == value


def test_progress_is_seen(served: tuple[Project, Worker]) -> None:
    project, _ = served
    receipt = project.app.tasks["progress"].delay(6)
    seen: list[str] = []
    deadline = time.monotonic() + 20
    while not receipt.ready() and time.monotonic() < deadline:
        if receipt.state not in seen:
            seen.append(receipt.state)
        time.sleep(0.005)
    assert receipt.get(timeout=1) == 6
    assert "PROGRESS" in seen


def test_nothing_runs_before_its_time(served: tuple[Project, Worker]) -> None:
    project, _ = served
    before = time.monotonic()
    (task,) = project.send("note", 1, countdown=0.6)
    run = project.wait_started(task)
    assert 0.6 <= run.at - before < 1.6
    assert project.wait_state(task) == state.SUCCESS
