"""Revoking, and asking workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.core import state
from celeriac.core.security import REPLY, Guard
from tests.unit.app.conftest import HandWorker


@pytest.fixture
def add(app: Celeriac) -> Task[..., int]:
    @app.task(name="proj.add")
    def add(x: int) -> int:
        return x

    return add


class Listener:
    """A worker that only answers commands; it answers while the asker waits, whenever the asker looks for replies."""

    def __init__(self, app: Celeriac, *names: str) -> None:
        self.heard: list[Command] = []
        self._broker = app.broker
        self._names = names
        _, self._cursor = self._broker.commands(None)
        for name in names:
            self._broker.heartbeat(WorkerRecord(name=name), 60)
        operations: Any = app._connections._opened().operations
        self._replies = operations.replies
        vars(operations)["replies"] = self._answer_first
        self._busy = False
        self.sealed: Callable[[CommandReply], CommandReply] = lambda reply: reply

    def _answer_first(self, command_id: str) -> Any:
        if not self._busy:
            self._busy = True
            self.listen()
            self._busy = False
        return self._replies(command_id)

    def listen(self) -> None:
        commands, self._cursor = self._broker.commands(self._cursor)
        self.heard += commands
        for command in commands:
            self._broker.reply(
                [
                    self.sealed(CommandReply(command.id, name, {"ok": command.name}))
                    for name in self._names
                    if command.destination is None or name in command.destination
                ]
            )


class TestRevoke:
    def test_each_id_is_accounted_for(self, app: Celeriac, add: Task[..., int]) -> None:
        running, waiting, later = add.delay(1), add.delay(2), add.apply_async((3,), countdown=60)
        app.broker.claim(["celery"], 1, "me", 60)
        listener = Listener(app)
        found = app.control.revoke([running.id, waiting.id, later.id, "nobody"])
        assert [one.outcome for one in found] == ["running", "removed", "removed", "unknown"]
        assert [running.state, waiting.state, later.state] == ["RECEIVED", "REVOKED", "REVOKED"]
        listener.listen()
        assert [(one.name, one.arguments) for one in listener.heard] == [
            ("revoke", {"ids": [running.id], "terminate": False, "signal": None})
        ]

    def test_nobody_is_told_where_nothing_runs(self, app: Celeriac, add: Task[..., int]) -> None:
        listener = Listener(app)
        app.control.revoke(add.delay(1).id)
        listener.listen()
        assert listener.heard == []

    def test_terminating_says_how(self, app: Celeriac, add: Task[..., int]) -> None:
        receipt = add.delay(1)
        app.broker.claim(["celery"], 1, "me", 60)
        listener = Listener(app, "w1@a")
        app.control.terminate(receipt.id, signal="SIGKILL")
        receipt.revoke(terminate=True, wait=True)
        assert [one.arguments["terminate"] for one in listener.heard] == [True, True]
        assert listener.heard[0].arguments["signal"] == "SIGKILL"

    async def test_the_awaitable_twin(self, app: Celeriac, add: Task[..., int]) -> None:
        running, waiting = add.delay(1), add.delay(2)
        app.broker.claim(["celery"], 1, "me", 60)
        listener = Listener(app)
        found = await app.control.arevoke([running.id, waiting.id], "w1@a", terminate=True)
        listener.listen()
        assert [one.outcome for one in found] == ["running", "removed"]
        assert listener.heard[0].destination == ("w1@a",)

    def test_the_result_is_stored_where_results_are_kept(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(backend="memory://elsewhere-for-revoke")

        @app.task
        def add() -> None: ...

        receipt = add.delay()
        receipt.revoke()
        assert app.backend.fetch([receipt.id])[0].state == state.REVOKED
        assert receipt.state == "REVOKED"

    async def test_the_awaitable_twin_stores_it_there_too(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(backend="memory://elsewhere-for-arevoke")

        @app.task
        def add() -> None: ...

        receipt = add.delay()
        await receipt.arevoke()
        assert receipt.state == "REVOKED"

    def test_without_a_backend_the_task_goes_all_the_same(self, make_app: Callable[..., Celeriac], clock: Any) -> None:
        app = make_app(backend="disabled://")

        @app.task
        def add() -> None: ...

        app.control.revoke(add.delay().id)
        worker = HandWorker(app, clock)
        worker.run()
        assert worker.settled == []


class TestAsking:
    def test_all_live_workers_are_waited_for(self, app: Celeriac) -> None:
        listener = Listener(app, "w1@a", "w2@b")
        assert app.control.ping(timeout=20) == [{"w1@a": {"ok": "ping"}}, {"w2@b": {"ok": "ping"}}]
        assert app.control.inspect(timeout=20).active() == {
            "w1@a": {"ok": "inspect.active"},
            "w2@b": {"ok": "inspect.active"},
        }
        assert [one.name for one in listener.heard] == ["ping", "inspect.active"]

    def test_only_those_that_are_named_are_asked(self, app: Celeriac) -> None:
        Listener(app, "w1@a", "w2@b")
        assert app.control.inspect(["w2@b"], timeout=20).stats() == {"w2@b": {"ok": "inspect.stats"}}
        assert app.control.inspect("w1@a", timeout=20).ping() == {"w1@a": {"ok": "ping"}}
        assert app.control.ping(["w1@a"], timeout=20) == [{"w1@a": {"ok": "ping"}}]

    def test_a_worker_that_does_not_answer_is_waited_for_until_the_timeout(self, app: Celeriac) -> None:
        app.broker.heartbeat(WorkerRecord(name="deaf@a"), 60)
        assert app.control.inspect(timeout=0.05).active() is None
        assert app.control.ping(timeout=0.05) == []

    def test_without_workers_nobody_is_waited_for(self, app: Celeriac) -> None:
        assert app.control.inspect(timeout=1000).active() is None

    @pytest.mark.parametrize(
        "question", ["active", "reserved", "registered", "stats", "conf", "active_queues", "report", "ping"]
    )
    async def test_every_question_has_an_awaitable_twin(self, app: Celeriac, question: str) -> None:
        listener = Listener(app, "w1@a")
        inspect: Any = app.control.inspect(timeout=20)
        blocking = getattr(inspect, question)()
        awaiting = await getattr(inspect, f"a{question}")()
        assert blocking == awaiting
        assert list(blocking) == ["w1@a"]
        assert len({one.name for one in listener.heard}) == 1

    async def test_what_waits_in_the_broker_needs_no_worker(self, app: Celeriac, add: Task[..., int]) -> None:
        receipt = add.apply_async((1,), countdown=60, priority=3)
        found = app.control.inspect().scheduled()
        assert found == await app.control.inspect().ascheduled()
        (one,) = found["broker"]
        assert one["eta"].startswith("2027-01-15T08:01:00")
        assert one["priority"] == 3
        assert one["request"]["id"] == receipt.id
        assert one["request"]["name"] == "proj.add"

    def test_other_commands_are_broadcast(self, app: Celeriac) -> None:
        listener = Listener(app, "w1@a")
        app.control.shutdown("w1@a")
        assert app.control.broadcast("pool_grow", {"n": 2}, reply=True, timeout=20) == [{"w1@a": {"ok": "pool_grow"}}]
        assert [(one.name, one.arguments) for one in listener.heard] == [("shutdown", {}), ("pool_grow", {"n": 2})]

    def test_an_answer_that_cannot_be_read_without_keys_is_told_as_such(self, app: Celeriac) -> None:
        guard = Guard(signing={}, encryption={"k": b"k" * 32})
        Listener(app, "w1@a").sealed = lambda reply: guard.seal(REPLY, reply, 1.0)
        assert app.control.ping(timeout=20) == [
            {"w1@a": {"error": "it is encrypted, and this app has no security_encryption_keys to read it with"}}
        ]

    async def test_broadcasting_has_an_awaitable_twin(self, app: Celeriac) -> None:
        Listener(app, "w1@a")
        assert await app.control.abroadcast("x") is None
        assert await app.control.aping(timeout=20) == [{"w1@a": {"ok": "ping"}}]


def test_purging_drops_what_waits(app: Celeriac, add: Task[..., int]) -> None:
    add.apply_many([(1,), (2,)])
    add.apply_async((1,), queue="other")
    assert app.control.purge() == 2
    assert app.control.purge(["other"]) == 1
    assert app.broker.stats() == []


async def test_the_other_twins(app: Celeriac, add: Task[..., int]) -> None:
    listener = Listener(app, "w1@a")
    first = add.delay(1)
    app.broker.claim(["celery"], 1, "me", 60)
    add.delay(2)
    assert [one.outcome for one in await app.control.aterminate(first.id, signal="SIGINT")] == ["running"]
    await app.control.ashutdown()
    listener.listen()
    assert [one.name for one in listener.heard] == ["revoke", "shutdown"]
    assert listener.heard[0].arguments["signal"] == "SIGINT"
    assert await app.control.apurge() == 1
