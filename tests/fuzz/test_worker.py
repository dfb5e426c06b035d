"""A real worker whose broker is full of hostile bytes: it runs what is good, and keeps the rest for a person to see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import pytest

from celeriac.brokers.rules import opened
from celeriac.core import state
from celeriac.core.message import Message, pack
from tests.fuzz.mutations import hostile
from tests.fuzz.readers import COMMANDS, MESSAGES, WORKERS
from tests.fuzz.vandal import VANDALS, Vandal
from tests.support.backing import Backing
from tests.support.backings import BACKINGS
from tests.support.fleet import Project, seeded, tell
from tests.support.waiting import wait_for

HOSTILE: Final = 400
GOOD: Final = 200
PATIENCE: Final = 20.0
_UNFINISHED: Final = (state.PENDING, state.SCHEDULED, state.RETRY, state.RECEIVED, state.STARTED)
TASKS: Final = """
import sys
app.conf.accept_content = ["json", "msgpack", "yaml"]


@app.task(name="take")
def take(*args, **kwargs):
    return args, kwargs


@app.task(name="typed")
def typed(when: "datetime", many: "list[int] | None" = None):
    return when


@app.task(bind=True, name="again", max_retries=2, default_retry_delay=0, autoretry_for=(Exception,))
def again(self, *args):
    raise ValueError(repr(self.request)[:100])
"""


@pytest.fixture(params=list(VANDALS))
def backing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    found = BACKINGS[request.param](tmp_path)
    found.start()
    yield found
    found.close()


@pytest.fixture
def project(backing: Backing, tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / f"{backing.name}_fuzz"
    folder.mkdir()
    # Nothing waits longer than the test does.
    settings = {"worker_unknown_task_window": 1.0, "worker_unknown_task_delay": 0.2}
    found = Project(folder, backing, settings=settings, extra=TASKS)
    yield found
    found.close()


def payloads(rng: Random) -> dict[str, bytes]:
    """Return hostile messages by id; most say that they are the message that they lie in the place of."""
    found: dict[str, bytes] = {}
    for number in range(HOSTILE):
        message = msgspec.structs.replace(rng.choice(MESSAGES), id=f"bad{number}", eta=None)
        found[message.id] = hostile(rng, pack(message))
    return found


@pytest.mark.timeout(150)
@pytest.mark.slow
def test_a_worker_survives_hostile_messages_and_runs_the_good_ones(project: Project) -> None:
    for _, rng in seeded():
        _run(project, VANDALS[project.backing.name](project.backing.url), rng)


def _run(project: Project, vandal: Vandal, rng: Random) -> None:
    broker = project.app.broker
    bad = payloads(rng)
    good = [f"good{number}" for number in range(GOOD)]
    ids = [*good, *bad]
    rng.shuffle(ids)
    messages = [Message(id=id, task="note", queue="celery", body=b"[[0.0],{},null]") for id in ids]
    broker.enqueue(messages)
    vandal.spoil_messages(bad)
    vandal.put_workers({f"w{n}": hostile(rng, msgspec.msgpack.encode(rng.choice(WORKERS))) for n in range(20)})
    worker = project.start_worker("-c", "2")
    vandal.put_commands([hostile(rng, msgspec.msgpack.encode(rng.choice(COMMANDS[2:]))) for _ in range(50)])
    assert set(project.wait_states(good, PATIENCE).values()) == {state.SUCCESS}
    try:
        wait_for(lambda: not _left(project), PATIENCE, "nothing to be left that waits or runs")
    except AssertionError as exc:
        raise AssertionError(f"{exc}: {_left(project)}") from None
    records = {record.id: record for record in broker.page([state.DEAD], None, 0, 10_000)}
    results = project.results(bad)
    fates: dict[str, int] = {}
    for id, payload in bad.items():
        record = records.get(id)
        if record is not None:
            assert record.reason, id
            # Its bytes are there for a person to look at, and to revive.
            assert record.raw == payload or record.message is not None, id
        assert record is not None or id in results, f"{id} is lost without a trace: {payload!r:.200}"
        fate = state.DEAD if record is not None else results[id].state
        fates[fate] = fates.get(fate, 0) + 1
    unreadable = [id for id, payload in bad.items() if opened(payload, id) is None]
    assert all(records[id].raw == bad[id] for id in unreadable)
    assert fates[state.DEAD] >= len(unreadable) > HOSTILE // 10
    tell(f"{len(good)} good: SUCCESS; {len(bad)} hostile: {fates}, {len(unreadable)} of them unreadable")
    # Nobody died of it, and who is asked answers.
    assert worker.process.poll() is None
    assert not re.search(r"child .* ended", worker.log()), worker.log()
    assert not (project.folder / "canary").exists()
    answers = project.app.control.ping(timeout=PATIENCE / 3)
    assert {worker.node: {"ok": "pong"}} in answers
    worker.stop()


def _left(project: Project) -> list[str]:
    """Return what waits or runs in the queue that the worker serves; a hostile callback may go to any other."""
    pages = project.app.broker.page(_UNFINISHED, "celery", 0, 10)
    return [f"{one.id} {one.state} due {one.due} {one.message}"[:500] for one in pages]
