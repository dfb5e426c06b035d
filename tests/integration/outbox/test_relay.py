"""The relay: two at once, without its broker, without its database. ``test_killed`` kills and stops it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.orm import Session, sessionmaker

from celeriac import Celeriac
from celeriac.app.transaction import OutboxState
from celeriac.contrib.sqlalchemy import Outbox, Relay
from celeriac.core.message import Settlement
from celeriac.errors import ImproperlyConfigured, OperationalError
from tests.support.killed_relay import relay_in_process
from tests.support.postgres import PostgresServer
from tests.support.servers import RedisServer
from tests.support.waiting import wait_for


def send(app: Celeriac, sessions: sessionmaker[Session], count: int) -> list[str]:
    with sessions.begin():
        return [app.tasks["receipt"].delay(number).id for number in range(count)]


def drain(relay: Relay, outbox: Outbox, timeout: float = 20.0) -> None:
    def empty() -> bool:
        try:
            relay.tick()
        except OperationalError:
            return False
        return relay.leads and not outbox.lag()[0]

    wait_for(empty, timeout, "an empty outbox")


def claimed(app: Celeriac) -> list[str]:
    """Return what a worker would get, in its order."""
    found: list[str] = []
    while deliveries := app.broker.claim(["celery"], 500, "worker", 60.0):
        found += [one.lease.id for one in deliveries]
    return found


def run_all(app: Celeriac) -> list[str]:
    """Claim and settle all that is there; return the ids."""
    found: list[str] = []
    while deliveries := app.broker.claim(["celery"], 500, "worker", 60.0):
        found += [one.lease.id for one in deliveries]
        app.broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries])
    return found


@pytest.mark.slow
def test_a_batch_that_has_run_before_it_is_repeated_runs_once(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    sent = send(app, sessions, 30)
    relay_in_process(outbox, app, "after publish")
    ran = run_all(app)
    assert ran
    relay_in_process(outbox, app, "empty")
    assert outbox.lag() == (0, 0.0)
    assert ran + run_all(app) == sent


def test_its_state_tells_who_leads_how_far_behind_and_why(
    app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
) -> None:
    assert outbox.state() == OutboxState()
    send(app, sessions, 3)
    first, second = outbox.relay("first"), outbox.relay("second")
    assert not first.lead()
    assert first.lead()
    waiting = outbox.state()
    assert (waiting.waiting, waiting.refused, waiting.leader, waiting.error) == (3, 0, "first", None)
    assert 0 < waiting.oldest < 30
    assert waiting.seen is not None
    assert waiting.seen < 30
    url = app.conf.broker_url
    app.conf.update(broker_url="redis://127.0.0.1:1/0", result_backend="redis://127.0.0.1:1/0", publish_timeout=0.2)
    with pytest.raises(OperationalError):
        first.tick()
    failing = outbox.state()
    assert (failing.waiting, failing.leader) == (3, "first")
    assert failing.error is not None
    assert "127.0.0.1:1" in failing.error
    own = first.state
    assert (own.waiting, own.leader, own.error) == (3, "first", failing.error)
    wait_for(lambda: first.state.oldest > own.oldest, 5, "an age that grows")
    second.tick()
    assert not second.leads
    assert (second.state.waiting, second.state.leader, second.state.error) == (3, "first", failing.error)
    app.conf.update(broker_url=url, result_backend=url, publish_timeout=5.0)
    drain(first, outbox)
    assert first.state.error is None
    wait_for(lambda: first.tick() > 0 and outbox.state().error is None, 10, "an error that is over")
    wait_for(lambda: first.tick() > 0 and first.state.waiting == 0, 10, "a look at the empty outbox")
    first.close()
    assert outbox.state() == OutboxState()


class TestOneDatabase:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'shop.db'}"

    def test_it_keeps_the_order_of_a_queue(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        sent = [one for _ in range(5) for one in send(app, sessions, 30)]
        drain(outbox.relay("one"), outbox)
        assert claimed(app) == sent

    def test_a_recorded_batch_is_repeated_under_its_number(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        send(app, sessions, 3)
        first, second = outbox.relay("first"), outbox.relay("second")
        assert not first.lead()
        assert first.lead()
        batch = first.take()
        assert batch is not None
        send(app, sessions, 2)
        first.close()
        assert second.lead()
        assert second.take() == batch
        second.publish(batch)
        second.finish(batch)
        following = second.take()
        assert following is not None
        assert (following.sender, following.number, len(following.rows)) == (batch.sender, batch.number + 1, 2)

    def test_one_leads_and_another_takes_over(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        first, second = outbox.relay("first"), outbox.relay("second")
        drain(first, outbox)
        assert not second.lead()
        sent = send(app, sessions, 3)
        began = time.monotonic()
        # The first stands still from here on.
        wait_for(second.lead, 10, "a new leader")
        assert 0.9 < time.monotonic() - began < 5
        drain(second, outbox)
        assert claimed(app) == sent
        first.tick()
        assert not first.leads

    def test_one_that_was_superseded_writes_nothing(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        first, second = outbox.relay("first"), outbox.relay("second")
        drain(first, outbox)
        sent = send(app, sessions, 3)
        batch = first.take()
        assert batch is not None
        wait_for(second.lead, 10, "a new leader")
        first.tick()
        assert not first.leads
        assert outbox.lag()[0] == 3
        drain(second, outbox)
        assert claimed(app) == sent

    def test_what_waited_for_longer_than_the_replay_window_runs(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        """Its age counts from when it is published: nobody could have run it before."""
        app.conf.update(security_signing_keys={"one": "k" * 43 + "="}, security_replay_window=3.0)
        app.broker.install()
        (sent,) = send(app, sessions, 1)
        wait_for(lambda: outbox.lag()[1] > 3.5, 10, "a row that is older than the window")
        drain(outbox.relay("one"), outbox)
        (delivery,) = app.broker.claim(["celery"], 5, "worker", 60.0)
        assert (delivery.lease.id, delivery.refusal) == (sent, None)

    def test_what_the_broker_refuses_holds_up_nothing(
        self, app: Celeriac, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        sent = send(app, sessions, 3)
        table = outbox.tables.messages
        with outbox.engine.begin() as connection:
            bad = connection.scalars(sqlalchemy.select(table.c.id).where(table.c.task_id == sent[1])).one()
            connection.execute(table.update().where(table.c.id == bad).values(message=b"not a message"))
        drain(outbox.relay("one"), outbox)
        assert claimed(app) == [sent[0], sent[2]]
        with outbox.engine.connect() as connection:
            (reason,) = connection.scalars(sqlalchemy.select(table.c.reason)).all()
        assert reason.startswith("DecodeError")
        assert outbox.state().refused == 1

    def test_published_rows_are_kept_as_long_as_asked(
        self, app: Celeriac, engine: sqlalchemy.Engine, outbox: Outbox, sessions: sessionmaker[Session]
    ) -> None:
        keeping = Outbox(app, engine, keep_published=0.5, lease=0.5)
        keeping.bind(sessions)
        send(app, sessions, 3)
        relay = keeping.relay("one")
        drain(relay, keeping)
        count = sqlalchemy.select(sqlalchemy.func.count()).select_from(keeping.tables.messages)

        def rows() -> int:
            relay.tick()
            with engine.connect() as connection:
                return int(connection.execute(count).scalar_one())

        assert rows() == 3
        wait_for(lambda: rows() == 0, 10, "rows that are too old to go")

    def test_numbers_out_of_range_are_refused(self, app: Celeriac, engine: sqlalchemy.Engine) -> None:
        with pytest.raises(ImproperlyConfigured, match="batch=0"):
            Outbox(app, engine, batch=0)
        with pytest.raises(ImproperlyConfigured, match=r"lease=0\.1"):
            Outbox(app, engine, lease=0.1)

    @pytest.mark.slow
    def test_while_the_broker_is_away_rows_wait(self, outbox: Outbox, sessions: sessionmaker[Session]) -> None:
        app = outbox.app
        with RedisServer(appendonly=True, fsync="always") as server:
            app.conf.update(broker_url=server.url, result_backend=server.url, publish_timeout=0.5)
            app.broker.install()
            relay = outbox.relay("one")
            drain(relay, outbox)
            server.stop()
            sent = send(app, sessions, 20)
            with pytest.raises(OperationalError):
                relay.tick()
            count, oldest = outbox.lag()
            assert count == 20
            wait_for(lambda: outbox.lag()[1] > oldest, 5, "a growing lag")
            server.start()
            drain(relay, outbox)
            assert claimed(app) == sent


@pytest.mark.slow
def test_it_goes_on_after_a_restart_of_its_database(app: Celeriac) -> None:
    with PostgresServer() as server:
        engine = sqlalchemy.create_engine(f"postgresql+psycopg://tester@127.0.0.1:{server.port}/test")
        outbox = Outbox(app, engine, lease=0.5)
        outbox.create()
        sessions = outbox.bind(sessionmaker(engine))
        relay = outbox.relay("one")
        sent = send(app, sessions, 5)
        drain(relay, outbox)
        sent += send(app, sessions, 5)
        server.restart("immediate")
        drain(relay, outbox)
        assert claimed(app) == sent
        engine.dispose()
