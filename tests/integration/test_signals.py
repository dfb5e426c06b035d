"""Which signals real workers send, in which order, with which arguments; the tables of docs/reference/signals.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import chord, signals
from celeriac.core.message import Message
from tests.support.backing import SqliteBacking
from tests.support.fleet import Project
from tests.support.waiting import wait_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "signals.md"

EXTRA = """
import json
from celeriac import Task, signals

SPOKEN = os.open({spoken!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def say(word, task_id=None, **more):
    line = {{"word": word, "id": task_id, "pid": os.getpid(), **more}}
    os.write(SPOKEN, (json.dumps(line) + "\\n").encode())


def listen(name):
    def receiver(sender=None, signal=None, **named):
        request = named.get("request")
        task_id = named.get("task_id") or named.get("id") or getattr(request, "id", None)
        if name.endswith("_task_publish"):
            task_id = named["headers"]["id"]
        if task_id is None and name == "task_rejected":
            task_id = named["message"].id
        if task_id is None and name.startswith("task_"):
            task_id = sender.request.id
        plain = {{key: value for key, value in named.items() if isinstance(value, (str, int, float, type(None)))}}
        who = getattr(sender, "name", None) or getattr(sender, "hostname", None) or str(sender)
        say(name, task_id, sender=who, names=sorted(named), plain=plain)
        raise RuntimeError("a receiver that fails")

    getattr(signals, name).connect(receiver, weak=False)


for name in signals.__all__:
    if name not in ("Signal", "setup_logging") and getattr(signals, name).never is None:
        listen(name)


for name in ("on_configure", "on_after_configure", "on_after_finalize", "on_after_fork"):
    @getattr(app, name).connect
    def moment(sender, name=name, **named):
        say(f"app.{{name}}", sender=sender.main, names=sorted(named))


class Hooked(Task):
    abstract = True

    def before_start(self, task_id, args, kwargs):
        say("(before_start)", task_id)

    def on_success(self, retval, task_id, args, kwargs):
        say("(on_success)", task_id)

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        say("(on_retry)", task_id)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        say("(on_failure)", task_id)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        say("(after_return)", task_id)


@app.task(base=Hooked, bind=True, name="works")
def works(self, x):
    say("(the task's code)", self.request.id)
    return x


@app.task(base=Hooked, bind=True, name="aworks")
async def aworks(self, x):
    say("(the task's code)", self.request.id)
    return x


@app.task(base=Hooked, bind=True, name="fails")
def fails(self):
    say("(the task's code)", self.request.id)
    raise ValueError("no")


@app.task(base=Hooked, bind=True, name="again", max_retries=1, default_retry_delay=0.1)
def again(self):
    say("(the task's code)", self.request.id)
    if not self.request.retries:
        raise self.retry()
"""


class Spoken:
    """What the receivers of a project wrote."""

    def __init__(self, project: Project, path: Path) -> None:
        self.project = project
        self.path = path
        path.touch()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def of(self, task_id: str, last: str) -> list[dict[str, Any]]:
        def there() -> bool:
            return any(one["id"] == task_id and one["word"] == last for one in self.lines())

        wait_for(there, 20, f"{last} of {task_id}")
        return [one for one in self.lines() if one["id"] == task_id]


def project_of(folder: Path, extra: str = "") -> Spoken:
    path = folder / "spoken"
    backing = SqliteBacking(folder)
    return Spoken(Project(folder, backing, extra=EXTRA.format(spoken=str(path)) + extra), path)


@pytest.fixture(scope="module", params=["prefork", "solo"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Spoken]]:
    spoken = project_of(tmp_path_factory.mktemp(f"signals-{request.param}"))
    try:
        spoken.project.start_worker("-P", request.param, "-c", "1")
        yield request.param, spoken
    finally:
        spoken.project.close()


def sent(spoken: Spoken) -> dict[str, list[dict[str, Any]]]:
    """Send one task of each fate, and return what was heard of it."""
    broker = spoken.project.app.broker

    def enqueue(name: str, **fields: Any) -> str:
        task_id = f"{name}-{len(spoken.lines())}"
        queue = spoken.project.app.conf.task_default_queue
        broker.enqueue([Message(id=task_id, task=name, queue=queue, **fields)])
        return task_id

    found = {}
    for title, name, body, last in (
        ("returns", "works", b"[[1],{},{}]", "task_postrun"),
        ("coroutine returns", "aworks", b"[[1],{},{}]", "task_postrun"),
        ("raises", "fails", b"[[],{},{}]", "task_postrun"),
    ):
        found[title] = spoken.of(enqueue(name, body=body), last)
    found["is retried, then returns"] = spoken.of(enqueue("again"), "task_success")
    found["has expired"] = spoken.of(enqueue("works", expires=1.0), "task_revoked")
    found["has an unknown name"] = spoken.of(enqueue("nobody.knows"), "task_unknown")
    found["cannot be decoded"] = spoken.of(enqueue("works", content_type="application/x-none"), "task_rejected")
    retried = found["is retried, then returns"][0]["id"]
    wait_for(
        lambda: sum(one["word"] == "task_postrun" and one["id"] == retried for one in spoken.lines()) == 2, 10, "both"
    )
    found["is retried, then returns"] = [one for one in spoken.lines() if one["id"] == retried]
    return found


PUBLISHING = {"before_task_publish", "after_task_publish", "task_success"}
ARGUMENTS = {
    "before_task_publish": [
        *("body", "declare", "exchange", "headers", "properties", "retry_policy", "routing_key"),
    ],
    "after_task_publish": ["body", "exchange", "headers", "routing_key"],
    "app.on_configure": ["signal"],
    "app.on_after_configure": ["signal", "source"],
    "app.on_after_finalize": ["signal"],
    "app.on_after_fork": ["signal"],
    "task_received": ["request"],
    "task_prerun": ["args", "kwargs", "task", "task_id"],
    "task_postrun": ["args", "kwargs", "retval", "state", "task", "task_id"],
    "task_success": ["result", "runtime"],
    "task_failure": ["args", "einfo", "exception", "kwargs", "task_id", "traceback"],
    "task_retry": ["einfo", "reason", "request"],
    "task_revoked": ["expired", "request", "signum", "terminated"],
    "task_unknown": ["exc", "id", "message", "name"],
    "task_rejected": ["exc", "message"],
    "celeryd_init": ["conf", "instance", "options"],
    "celeryd_after_setup": ["conf", "instance"],
    "worker_shutting_down": ["exitcode", "how", "sig"],
    "worker_process_shutdown": ["exitcode", "pid"],
    "after_setup_logger": ["colorize", "format", "logfile", "logger", "loglevel"],
    "after_setup_task_logger": ["colorize", "format", "logfile", "logger", "loglevel"],
}


def table(rows: dict[str, list[str]]) -> str:
    lines = [f"| {title} | {' → '.join(words)} |" for title, words in rows.items()]
    return "\n".join(["| | in this order |", "|---|---|", *lines])


def on_page(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert found, f"docs/reference/signals.md has no table {name}"
    return found[1]


def test_tasks_send_what_the_page_says(ran: tuple[str, Spoken]) -> None:
    found = sent(ran[1])
    for lines in found.values():
        for one in lines:
            assert one.get("names", []) == ARGUMENTS.get(one["word"], [])
    ended = [one["plain"]["state"] for one in found["is retried, then returns"] if one["word"] == "task_postrun"]
    assert ended == ["RETRY", "SUCCESS"]
    assert [one["plain"]["state"] for one in found["raises"] if one["word"] == "task_postrun"] == ["FAILURE"]
    assert next(one for one in found["has expired"] if one["word"] == "task_revoked")["plain"]["expired"] is True
    assert next(one for one in found["returns"] if one["word"] == "task_prerun")["sender"] == "works"
    # A receiver that raises, as all of these do, harms nothing: the results are there.
    task_id = found["returns"][0]["id"]
    assert ran[1].project.wait_states([task_id])[task_id] == "SUCCESS"
    assert "a receiver that fails" in ran[1].project.workers[0].log()
    assert table({title: [one["word"] for one in lines] for title, lines in found.items()}) == on_page("tasks")


def test_what_belongs_together_is_published_as_the_page_says(ran: tuple[str, Spoken]) -> None:
    spoken = ran[1]
    works = spoken.project.app.tasks["works"]
    rows: dict[str, list[str]] = {}

    def heard(title: str, names: dict[str, str], last: str, *, ours: bool) -> None:
        """Note who was told what of these tasks in the sender, or else in the worker."""
        spoken.of(last, "task_postrun")
        spoken.project.wait_states([last])
        rows[title] = [
            f"{one['word']} of {names[one['id']]}"
            for one in spoken.lines()
            if one["id"] in names and one["word"] in PUBLISHING and (one["pid"] == os.getpid()) == ours
        ]

    one = works.delay(1)
    heard("a task, in the sender", {one.id: "it"}, one.id, ours=True)
    second = (works.s(1) | works.s())()
    names = {second.parent.id: "the first", second.id: "the second"}
    heard("a chain of two, in the sender", names, second.id, ours=True)
    heard("a chain of two, in the worker", names, second.id, ours=False)
    body = chord([works.s(1), works.s(2)], works.s())()
    left, right = body.parent.results
    heard("a chord, in the sender", {left.id: "one", right.id: "the other", body.id: "the body"}, body.id, ours=True)
    linked = works.apply_async((1,), link=works.s().set(task_id="callback-of-it"))
    names = {linked.id: "the task", "callback-of-it": "its callback"}
    heard("a task with `link`, in the sender", names, "callback-of-it", ours=True)
    wait_for(lambda: len(spoken.of("callback-of-it", "after_task_publish")) > 1, 10, "the callback told of")
    heard("a task with `link`, in the worker", names, "callback-of-it", ours=False)
    assert table(rows) == on_page("publishing")


def test_a_worker_sends_what_the_page_says_from_start_to_end(tmp_path: Path) -> None:
    spoken = project_of(tmp_path)
    try:
        worker = spoken.project.start_worker("-c", "1")
        wait_for(lambda: any(one["word"] == "heartbeat_sent" for one in spoken.lines()), 10, "a heartbeat")
        worker.stop()
    finally:
        spoken.project.close()
    lines = [one for one in spoken.lines() if one["word"] != "heartbeat_sent"]
    for one in lines:
        assert one["names"] == ARGUMENTS.get(one["word"], [])
    ours = [one for one in lines if one["pid"] == worker.pid]
    child = next(one["pid"] for one in lines if one["word"] == "worker_process_init")
    theirs = [one for one in lines if one["pid"] == child]  # The server that forks it has the app as well.
    assert {one["sender"] for one in ours if one["word"].startswith(("worker_", "celeryd_"))} == {worker.node}
    assert {one["sender"] for one in theirs if one["word"].startswith("worker_")} == {worker.node}
    told = next(one["plain"] for one in ours if one["word"] == "worker_shutting_down")
    assert told == {"sig": "SIGTERM", "how": "Warm", "exitcode": 0}
    rows = {"worker": [one["word"] for one in ours], "child process": [one["word"] for one in theirs]}
    assert table(rows) == on_page("worker")


def test_a_receiver_of_setup_logging_replaces_ours(tmp_path: Path) -> None:
    extra = """

@signals.setup_logging.connect
def own(loglevel, logfile, format, colorize, **kwargs):
    say("setup_logging", names=[loglevel, logfile])
"""
    spoken = project_of(tmp_path, extra)
    try:
        worker = spoken.project.start_worker("-c", "1", wait=False)
        wait_for(lambda: any(one["word"] == "worker_ready" for one in spoken.lines()), 30, "the worker ready")
        worker.stop()
    finally:
        spoken.project.close()
    heard = [one for one in spoken.lines() if one["word"] == "setup_logging"]
    assert [one["names"] for one in heard] == [[20, None]] * 2
    assert len({one["pid"] for one in heard}) == 2
    assert " ready." not in worker.log()
    assert not any(one["word"].startswith("after_setup") for one in spoken.lines())


def test_the_page_names_every_signal() -> None:
    text = PAGE.read_text()
    assert [name for name in signals.__all__ if name != "Signal" and f"`{name}`" not in text] == []


BEAT = """
import sys
from celeriac import Celeriac
from celeriac.signals import beat_embedded_init, beat_init

app = Celeriac("beating", broker="sqlite:///queue.db")


@beat_init.connect
@beat_embedded_init.connect
def tell(sender=None, signal=None, **named):
    with open("told", "a") as file:
        print(signal.name, type(sender).__name__, sorted(named), file=file)
"""


@pytest.mark.parametrize(
    ("command", "signal_name"), [(("beat",), "beat_init"), (("worker", "-B", "-P", "solo"), "beat_embedded_init")]
)
def test_a_scheduler_tells_that_it_begins(tmp_path: Path, command: tuple[str, ...], signal_name: str) -> None:
    (tmp_path / "beating.py").write_text(BEAT)
    told = tmp_path / "told"
    process = subprocess.Popen([sys.executable, "-m", "celeriac", "-A", "beating", *command], cwd=tmp_path)
    try:
        wait_for(lambda: told.exists() and told.read_text().endswith("\n"), 30, "the signal of a scheduler")
    finally:
        process.terminate()
        process.wait(30)
    assert told.read_text() == f"{signal_name} Scheduler []\n"
