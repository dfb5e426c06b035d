"""Real workers with keys, and somebody who can write to their broker and has none."""

from __future__ import annotations

import base64
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from celeriac import Celeriac
from celeriac.brokers import open_broker
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Command
from celeriac.core import state
from celeriac.core.message import Message, StoredResult
from celeriac.errors import SecurityError
from tests.support.backings import BACKINGS
from tests.support.fleet import Project
from tests.support.waiting import wait_for

# Brokers that keep results; others cannot remember what ran (tests/unit/brokers/test_sealed.py).
on_each_driver = pytest.mark.parametrize(
    "driver", [one for one in BACKINGS if one in ("sqlite", "redis")], indirect=True
)
READ_FROM_ENVIRONMENT = """
app.conf.security_signing_keys = os.environ["PROJ_KEYS"]
if os.environ.get("PROJ_CIPHER_KEYS"):
    app.conf.security_encryption_keys = os.environ["PROJ_CIPHER_KEYS"]
"""
pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]


def new_key() -> str:
    return secrets.token_urlsafe(32)


@pytest.fixture
def make_keyed(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    """Return what makes a project with these keys."""

    def make(keys: str, ciphers: str = "", **settings: Any) -> Project:
        monkeypatch.setenv("PROJ_KEYS", keys)
        monkeypatch.setenv("PROJ_CIPHER_KEYS", ciphers)
        return make_project(extra=READ_FROM_ENVIRONMENT, **settings)

    return make


@pytest.fixture
def attack() -> Iterator[Callable[[Project], SyncBroker[Any, Any]]]:
    """Return what opens a project's broker without any key."""
    opened: list[SyncBroker[Any, Any]] = []

    def open_(project: Project) -> SyncBroker[Any, Any]:
        opened.append(open_broker(project.backing.url))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def with_keys(project: Project, keys: str, **settings: Any) -> Celeriac:
    """Return an app of somebody else's, on the same broker."""
    url = project.backing.url
    return Celeriac("other", broker=url, backend=url, set_as_current=False, security_signing_keys=keys, **settings)


def why(project: Project, task_id: str) -> str:
    """Wait until the task is a dead letter; return the reason."""
    wait_for(
        lambda: (found := project.record(task_id)) is not None and found.state == state.DEAD, 15, f"{task_id} is dead"
    )
    record = project.record(task_id)
    assert record is not None
    return record.reason or ""


@on_each_driver
@pytest.mark.parametrize("ciphers", [False, True], ids=["signed", "encrypted too"])
def test_nothing_forged_changed_or_replayed_runs(
    make_keyed: Callable[..., Project], attack: Callable[[Project], SyncBroker[Any, Any]], ciphers: bool
) -> None:
    project = make_keyed(f"k={new_key()}", f"c={new_key()}" if ciphers else "")
    attacker = attack(project)
    project.app.broker.install()
    ran, victim = project.send("note", 2)
    stolen = {record.id: record.message for record in attacker.get([ran, victim])}
    good, other = stolen[ran], stolen[victim]
    assert good is not None
    assert other is not None
    worker = project.start_worker("-c", "1")
    assert set(project.wait_states([ran, victim]).values()) == {state.SUCCESS}
    listening = attacker.commands(None)[1]
    copies = {
        ran: good,
        "stripped": msgspec.structs.replace(good, id="stripped", seal=None),
        "forged": Message(id="forged", task="note", queue=good.queue, body=b"[[0.0],{},null]"),
        "renamed": msgspec.structs.replace(good, id="renamed"),
        victim: msgspec.structs.replace(other, body=good.body),
        "changed": msgspec.structs.replace(other, id="changed", retries=7),
        "other-key": None,
    }
    with with_keys(project, f"k={new_key()}") as stranger:
        stranger.send_task("note", task_id="other-key")
        attacker.enqueue([one for one in copies.values() if one is not None])
        attacker.broadcast(Command(id="evil", name="shutdown"))
        reasons = {one: why(project, one) for one in copies}
    assert "it was replayed" in reasons.pop(ran)
    assert "not signed" in reasons.pop("stripped")
    assert "not signed" in reasons.pop("forged")
    assert all("refused: " in one for one in reasons.values()), reasons
    # Whoever may command gets an answer, once; the copy of the command does not.
    assert project.app.control.ping(timeout=5) == [{worker.node: {"ok": "pong"}}]
    attacker.broadcast(attacker.commands(listening)[0][-1])
    worker.wait_log("this is a copy: it was replayed")
    (after,) = project.send("note", 1)
    assert project.wait_state(after) == state.SUCCESS
    assert {id: len(starts) for id, starts in project.starts().items()} == {ran: 1, victim: 1, after: 1}
    assert project.app.AsyncResult(ran).get(timeout=5) > 0
    assert worker.process.poll() is None
    log = worker.log()
    assert "refused command shutdown[evil]: the command is not signed" in log
    assert f"refused message note[{ran}]: it was settled before" in log
    worker.stop()


@on_each_driver
def test_a_forged_or_exchanged_result_is_an_error_for_who_waits(
    make_keyed: Callable[..., Project], attack: Callable[[Project], SyncBroker[Any, Any]]
) -> None:
    project = make_keyed(f"k={new_key()}")
    attacker = attack(project)
    project.app.broker.install()
    one, two = project.send("note", 2)
    worker = project.start_worker("-c", "1")
    project.wait_states([one, two])
    (good,) = attacker.fetch([one])
    attacker.store([msgspec.structs.replace(good, id=two), StoredResult(id="never-ran", state=state.SUCCESS)])
    for id in (two, "never-ran"):
        for read in ("get", "ready"):
            with pytest.raises(SecurityError, match=f"the result of task {id} is refused"):
                getattr(project.app.AsyncResult(id), read)()
        with pytest.raises(SecurityError):
            _ = project.app.AsyncResult(id).state
    assert project.app.AsyncResult(one).successful()
    worker.stop()


def test_keys_are_rotated_under_load_and_a_removed_one_ends(
    make_keyed: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = new_key(), new_key()
    project = make_keyed(f"old={old}")
    before = project.send("note", 20)
    monkeypatch.setenv("PROJ_KEYS", f"new={new},old={old}")
    worker = project.start_worker("-c", "2")
    between = project.send("note", 20)  # This process has the old key alone; what the worker stores it cannot read.
    with with_keys(project, f"new={new},old={old}") as app:
        after = [app.send_task("note").id for _ in range(20)]
        for id in (*before, *between, *after):
            assert app.AsyncResult(id).get(timeout=20) > 0
        with pytest.raises(SecurityError, match="with key 'new', which is not among security_signing_keys"):
            project.app.AsyncResult(before[0]).get(timeout=5)
    worker.stop()
    monkeypatch.setenv("PROJ_KEYS", f"new={new}")
    worker = project.start_worker("-c", "1")
    (late,) = project.send("note", 1)
    worker.wait_log(f"refused message note[{late}]: the message is signed with key 'old', which is not among")
    assert "signed with key 'old'" in why(project, late)
    worker.stop()


@on_each_driver
def test_a_task_whose_process_was_killed_runs_again_and_a_dead_letter_when_put_back(
    make_keyed: Callable[..., Project],
) -> None:
    """What the engine delivers again itself is no replay."""
    project = make_keyed(f"k={new_key()}", worker_unknown_task_window=0.1, worker_unknown_task_delay=0.05)
    worker = project.start_worker("-c", "1")
    (killed,) = project.send("note", 1, 1.0)
    os.kill(project.wait_started(killed).pid, signal.SIGKILL)
    project.wait_started(killed, 2)
    assert project.wait_state(killed) == state.SUCCESS
    unknown = project.app.send_task("nobody.knows").id
    assert "no worker knew" in why(project, unknown)
    assert project.app.broker.revive([unknown]) == (unknown,)
    worker.wait_log("looked at again")
    assert "no worker knew" in why(project, unknown)
    worker.stop()


def test_what_is_encrypted_cannot_be_found_in_the_store(make_keyed: Callable[..., Project]) -> None:
    project = make_keyed(f"k={new_key()}", f"c={new_key()}")
    mark = f"hunter-{base64.b32encode(os.urandom(10)).decode()}"
    project.app.broker.install()
    (failed,) = project.send("note", 1, mark)
    worker = project.start_worker("-c", "1")
    assert project.wait_state(failed) == state.FAILURE
    with pytest.raises(TypeError):
        project.app.AsyncResult(failed).get(timeout=5)
    project.app.control.inspect(timeout=5).active()
    worker.stop()
    project.app.close()
    stored = b"".join(path.read_bytes() for path in project.folder.glob("*.db*"))
    assert failed.encode() in stored
    assert mark.encode() not in stored
