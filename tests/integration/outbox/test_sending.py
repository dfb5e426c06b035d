"""What is sent in a transaction of the application's waits for its commit, and is gone with its rollback."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox
from celeriac.core.message import unpack
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, OperationalError
from tests.support.shop import Base, Order, database


def queued(app: Celeriac) -> int:
    return sum(one.ready + one.scheduled for one in app.broker.stats())


def waiting(outbox: Outbox) -> list[str]:
    table = outbox.tables.messages
    with outbox.engine.connect() as connection:
        return list(connection.scalars(sqlalchemy.select(table.c.task_id).order_by(table.c.id)))


def drain(outbox: Outbox) -> None:
    relay = outbox.relay("test")
    for _ in range(100):
        with contextlib.suppress(OperationalError):  # A loaded machine may exceed the time of a transaction.
            relay.tick()
        if relay.leads and not outbox.lag()[0]:
            relay.close()
            return
    raise AssertionError("the outbox does not get empty")


def test_the_commit_sends(app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        session.add(Order(id=1))
        receipt = app.tasks["receipt"].delay(1)
        assert receipt.id
        assert waiting(outbox) == [] == app.broker.stats()
    assert waiting(outbox) == [receipt.id]
    drain(outbox)
    assert app.broker.get([receipt.id])[0].state == "PENDING"
    assert waiting(outbox) == []


def test_a_rollback_takes_it_back(app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        session.add(Order(id=1))
        app.tasks["receipt"].delay(1)
        session.flush()
        app.tasks["receipt"].delay(2)
        session.rollback()
        session.commit()
    assert waiting(outbox) == []
    assert queued(app) == 0


def test_a_savepoint_takes_back_its_own(app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]) -> None:
    send = app.tasks["receipt"].delay
    with sessions.begin() as session:
        kept = [send(1).id]
        with session.begin_nested():
            kept.append(send(2).id)
        inner = session.begin_nested()
        send(3)
        session.flush()
        send(4)
        inner.rollback()
        kept.append(send(5).id)
    assert waiting(outbox) == kept


def test_a_hook_may_send(app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]) -> None:
    def inserted(mapper: object, connection: object, order: Order) -> None:
        app.tasks["receipt"].delay(order.id)

    event.listen(Order, "after_insert", inserted)
    try:
        with sessions.begin() as session:
            session.add_all([Order(id=1), Order(id=2)])
    finally:
        event.remove(Order, "after_insert", inserted)
    assert len(waiting(outbox)) == 2


def test_outside_a_transaction_it_is_sent_at_once(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    with sessions.begin():
        pass
    app.tasks["receipt"].delay(1)
    assert queued(app) == 1
    assert waiting(outbox) == []


def test_a_session_that_has_done_nothing_is_in_no_transaction(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    with sessions() as session:
        app.tasks["receipt"].delay(1)
        with outbox.session(session):
            named = app.tasks["receipt"].delay(2)
        session.commit()
    assert queued(app) == 1
    assert waiting(outbox) == [named.id]


def test_all_options_travel(app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]) -> None:
    with sessions.begin():
        app.tasks["receipt"].apply_async(
            (1,), task_id="mine", queue="slow", priority=7, headers={"shop": "north"}, countdown=600
        )
    drain(outbox)
    (record,) = app.broker.get(["mine"])
    assert record.message is not None
    assert (record.state, record.queue, record.message.priority) == ("SCHEDULED", "slow", 7)
    assert record.message.headers["shop"] == "north"
    assert record.message.eta is not None


class TestOneDatabase:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'shop.db'}"

    def test_what_is_wrong_is_told_by_the_call(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        with sessions.begin(), pytest.raises(InvalidTaskError, match="priority"):
            app.tasks["receipt"].apply_async((1,), priority=99)
        assert waiting(outbox) == []

    def test_messages_are_sealed_when_they_are_written(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        app.conf.update(security_encryption_keys={"one": "k" * 43 + "="})
        with sessions.begin():
            receipt = app.tasks["receipt"].delay(1)
        table = outbox.tables.messages
        with outbox.engine.connect() as connection:
            message = unpack(connection.execute(sqlalchemy.select(table.c.message)).scalar_one())
        assert message.seal is not None
        assert message.seal.cipher is not None
        drain(outbox)
        (record,) = app.broker.get([receipt.id])
        assert record.refused is None
        assert record.message is not None
        assert b"1" in record.message.body

    def test_another_database_is_refused(self, app: Celeriac, outbox: Outbox, tmp_path: Path) -> None:
        other = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
        with (
            Session(other) as session,
            outbox.session(session),
            pytest.raises(ImproperlyConfigured, match=r"other\.db"),
        ):
            app.tasks["receipt"].delay(1)
        other.dispose()

    def test_a_bind_by_class_must_know_the_outbox(self, app: Celeriac, outbox: Outbox) -> None:
        wrong = pytest.raises(ImproperlyConfigured, match=r"outbox\.tables\.Row: engine")
        with Session(binds={Base: outbox.engine}) as session, outbox.session(session), wrong:
            app.tasks["receipt"].delay(1)
        with Session(binds={Base: outbox.engine, outbox.tables.Row: outbox.engine}) as session, outbox.session(session):
            receipt = app.tasks["receipt"].delay(1)
            session.commit()
        assert waiting(outbox) == [receipt.id]

    def test_connections_and_scoped_sessions_work(self, app: Celeriac, outbox: Outbox) -> None:
        with outbox.engine.begin() as connection:
            first = app.tasks["receipt"].apply_async((1,), connection=connection)
        registry = outbox.bind(scoped_session(sessionmaker(outbox.engine)))
        with registry.begin():
            second = app.tasks["receipt"].delay(2)
        registry.remove()
        assert waiting(outbox) == [first.id, second.id]

    def test_anything_else_is_refused(self, app: Celeriac, outbox: Outbox) -> None:
        with pytest.raises(TypeError, match="session or connection of SQLAlchemy"):
            app.tasks["receipt"].apply_async((1,), connection=object())
        with pytest.raises(TypeError, match="binds a sessionmaker"):
            outbox.bind(object())


@pytest.mark.parametrize("client", ["psycopg", "asyncpg"])
async def test_asynchronous_sessions_take_part(app: Celeriac, tmp_path: Path, client: str) -> None:
    with database("postgresql", tmp_path) as url:
        engine, own = create_async_engine(url.replace("+psycopg", f"+{client}")), sqlalchemy.create_engine(url)
        outbox = Outbox(app, own)
        outbox.create()
        sessions = outbox.bind(async_sessionmaker(engine))
        async with sessions.begin():
            kept = [(await app.tasks["receipt"].adelay(1)).id, app.tasks["receipt"].delay(2).id]
        async with sessions() as session:
            await session.begin()
            await app.tasks["receipt"].adelay(3)
            await session.rollback()
        async with AsyncSession(engine) as session, outbox.session(session):
            async with session.begin_nested() as point:
                await app.tasks["receipt"].adelay(4)
                await point.rollback()
            kept.append((await app.tasks["receipt"].adelay(5)).id)
            await session.commit()
        assert waiting(outbox) == kept
        await engine.dispose()
        own.dispose()
    await app.aclose()


WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox

app = Celeriac("shop", broker="memory://", backend="memory://")
outbox = Outbox(app, create_engine("sqlite:///shop.db"))
outbox.create()
with outbox.bind(sessionmaker(outbox.engine)).begin() as session:
    app.send_task("receipt", (1,))
    app.send_task("receipt", (2,), connection=session)
print(outbox.lag()[0])
"""


def test_greenlet_which_sqlalchemy_wants_for_coroutines_alone_need_not_be_there(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_GREENLET], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("2\n", 0), done.stderr
