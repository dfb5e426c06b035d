"""The relay, killed at every step and stopped past its lease: nothing is lost, nothing comes twice, and in order."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.orm import Session, sessionmaker

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox
from celeriac.errors import OperationalError
from tests.support.killed_relay import IDLE, LEADING, LEASE, STEPS, TROUBLE, holder, relay_in_process, start
from tests.support.waiting import wait_for

QUEUES = ("north", "south", "west")
KEEP = 0.2


def send(app: Celeriac, sessions: sessionmaker[Session], count: int) -> list[str]:
    with sessions.begin():
        return [app.tasks["receipt"].delay(number).id for number in range(count)]


def claimed(app: Celeriac, queue: str = "celery") -> list[str]:
    """Return what a worker would get, in its order."""
    found: list[str] = []
    while deliveries := app.broker.claim([queue], 500, "worker", 60.0):
        found += [one.lease.id for one in deliveries]
    return found


def spoil(outbox: Outbox, id: str) -> None:
    table = outbox.tables.messages
    with outbox.engine.begin() as connection:
        connection.execute(table.update().where(table.c.task_id == id).values(message=b"no message"))


def kill_at(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session], steps: Sequence[str], keep: float = 0.0
) -> None:
    """Send, and kill one relay after the other; then see what has come."""
    sent: list[str] = []
    for step in steps:
        sent += send(app, sessions, 15)
        relay_in_process(outbox, app, step, keep=keep)
    relay_in_process(outbox, app, "empty", keep=keep)
    assert claimed(app) == sent
    assert outbox.lag() == (0, 0.0)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_killed_at_every_step_of_a_batch_it_loses_and_doubles_nothing(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    kill_at(app, outbox, sessions, STEPS)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_killed_while_it_keeps_and_clears_away_what_is_published_it_loses_and_doubles_nothing(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    kill_at(app, outbox, sessions, ("in finish", "after finish", *IDLE), KEEP)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_killed_while_it_begins_or_ends_to_lead_it_loses_and_doubles_nothing(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    kill_at(app, outbox, sessions, LEADING)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_killed_while_it_meets_what_cannot_be_published_it_loses_and_doubles_nothing(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    sent: list[str] = []
    for step in TROUBLE:
        fresh = send(app, sessions, 15)
        if step.endswith("set aside"):
            spoil(outbox, fresh.pop(7))
        sent += fresh
        relay_in_process(outbox, app, step)
    relay_in_process(outbox, app, "empty")
    assert claimed(app) == sent
    assert outbox.state().refused == sum(step.endswith("set aside") for step in TROUBLE)


class Sender:
    """Sends to three queues in turn, in transactions of a few, until told to stop."""

    def __init__(self, app: Celeriac, sessions: sessionmaker[Session]) -> None:
        self._app = app
        self._sessions = sessions
        self._stop = threading.Event()
        self.sent: dict[str, list[str]] = {queue: [] for queue in QUEUES}
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            try:
                sent = self._send()
            except sqlalchemy.exc.OperationalError as exc:
                if "database is locked" not in str(exc):
                    raise
                continue  # SQLite refuses who would wait for ever. What was sent went with the transaction.
            for queue, ids in sent.items():
                self.sent[queue] += ids

    def _send(self) -> dict[str, list[str]]:
        with self._sessions.begin():
            task = self._app.tasks["receipt"]
            return {queue: [task.apply_async((1,), queue=queue).id for _ in range(2)] for queue in QUEUES}

    def stop(self) -> None:
        self._stop.set()
        self.thread.join(20)


@pytest.fixture
def sender(app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]) -> Iterator[Sender]:
    found = Sender(app, sessions)
    found.thread.start()
    yield found
    found.stop()


@pytest.fixture
def three(app: Celeriac, outbox: Outbox) -> Iterator[list[subprocess.Popen[bytes]]]:
    relays = [start(outbox, app, "never") for _ in range(3)]
    yield relays
    for one in relays:
        one.kill()
        one.wait(20)


def queued(app: Celeriac) -> int:
    return sum(one.ready for one in app.broker.stats())


def strike(pid: int, how: signal.Signals, outbox: Outbox) -> float:
    """Kill or stop a relay; return when. A file of SQLite's stays with who stands still while using it."""

    def struck() -> bool:
        os.kill(pid, how)
        if how == signal.SIGKILL or outbox.engine.dialect.name != "sqlite" or not held(outbox):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_for(struck, 20, "a relay that is struck")
    return time.monotonic()


def held(outbox: Outbox) -> bool:
    """Return whether anybody reads or writes the file: who stands still while reading it keeps others from a commit."""
    assert outbox.engine.url.database is not None
    with contextlib.closing(sqlite3.connect(outbox.engine.url.database, timeout=1.0, isolation_level=None)) as file:
        try:
            file.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return True
        file.execute("ROLLBACK")
        return False


def wait_for_more(app: Celeriac, count: int = 0) -> None:
    before = queued(app)
    wait_for(lambda: queued(app) > before + count, 20, "more that is published")


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_two_leaders_in_a_row_are_lost(
    app: Celeriac,
    outbox: Outbox,
    sender: Sender,
    three: list[subprocess.Popen[bytes]],
    how: signal.Signals,
    record_property: Callable[[str, object], None],
) -> None:
    """Each time another takes over; those that were stopped go on in the end, and publish nothing that they held."""
    by_name = {holder(one): one for one in three}
    gone: list[str] = []
    took: list[float] = []
    for _ in range(2):
        wait_for_more(app)
        leader = str(outbox.state().leader)
        at = strike(by_name[leader].pid, how, outbox)
        gone.append(leader)
        wait_for(lambda: outbox.state().leader not in gone, 20, "another leader")
        wait_for_more(app)
        took.append(time.monotonic() - at)
    if how == signal.SIGSTOP:
        for name in gone:
            os.kill(by_name[name].pid, signal.SIGCONT)
        wait_for_more(app, 100)
        assert outbox.state().leader not in gone
    sender.stop()
    wait_for(lambda: outbox.lag()[0] == 0, 20, "an empty outbox")
    for queue in QUEUES:
        assert claimed(app, queue) == sender.sent[queue], queue
    record_property("takeover_seconds", [round(one, 2) for one in took])
    assert max(took) < LEASE + 3.0


@pytest.mark.slow
@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_a_leader_that_stands_still_within_a_transaction_is_succeeded(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    """Its server ends the transaction, or its lock on the leader's row would keep all others out."""
    first, second = outbox.relay("first"), outbox.relay("second")
    wait_for(first.lead, 10, "a first leader")
    sent = send(app, sessions, 3)
    with pytest.raises(OperationalError), first._connection() as connection:
        first._beat(connection)
        at = time.monotonic()
        wait_for(second.lead, 20, "a second leader")
        assert time.monotonic() - at < 1.0 + 3.0
        first._beat(connection)
    while outbox.lag()[0]:
        second.tick()
    assert claimed(app) == sent
    with outbox.engine.connect() as connection:
        if outbox.engine.dialect.name == "postgresql":
            left = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
            assert left == "0"
        else:
            left = connection.exec_driver_sql("SELECT @@SESSION.wait_timeout - @@GLOBAL.wait_timeout").scalar_one()
            assert left == 0


@pytest.mark.slow
def test_a_leader_stopped_between_its_last_look_and_publishing_doubles_nothing(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    """It goes on when its successor has published that batch, and the next ones."""
    sent = send(app, sessions, 30)
    first, second = outbox.relay("first"), outbox.relay("second")
    wait_for(first.lead, 10, "a first leader")
    batch = first.take()
    assert batch is not None
    wait_for(second.lead, 10, "a second leader")
    sent += send(app, sessions, 30)
    while outbox.lag()[0]:
        second.tick()
    first.publish(batch)
    assert claimed(app) == sent


def test_the_tables_of_an_outbox_have_one_leaders_row(app: Celeriac, outbox: Outbox) -> None:
    relays = [outbox.relay(str(number)) for number in range(5)]
    threads = [threading.Thread(target=one.tick) for one in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for one in relays:
        one.tick()
    assert sum(one.leads for one in relays) == 1
    with outbox.engine.connect() as connection:
        count = sqlalchemy.select(sqlalchemy.func.count()).select_from(outbox.tables.relay)
        assert connection.execute(count).scalar_one() == 1
