"""Sending many tasks at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.core.codec import decode_args
from tests.unit.app.conftest import sent

EVERYTHING = frozenset({"application/json", "application/x-msgpack"})


@pytest.fixture
def add(app: Celeriac) -> Task[[int, int], int]:
    @app.task(name="proj.add")
    def add(x: int, y: int = 2) -> int:
        return x + y

    return add


def body(message: Any) -> Any:
    return decode_args(
        message.body,
        message.content_type,
        message.content_encoding,
        compression=message.compression,
        accept=EVERYTHING,
    )


class TestMany:
    def test_sets_are_tuples_dictionaries_and_signatures(self, app: Celeriac, add: Task[..., int]) -> None:
        receipts = add.apply_many([(1,), [2, 3], {"x": 4, "y": 5}, add.s(6).set(priority=9)], queue="images")
        found = [sent(app, one.id) for one in receipts]
        assert [body(one)[:2] for one in found] == [([1], {}), ([2, 3], {}), ([], {"x": 4, "y": 5}), ([6], {})]
        assert [one.priority for one in found] == [0, 0, 0, 9]
        assert {one.queue for one in found} == {"images"}

    def test_a_round_trip_takes_500(self, app: Celeriac, add: Task[..., int]) -> None:
        requests = count_requests(app)
        receipts = add.apply_many((i,) for i in range(1201))
        assert len({one.id for one in receipts}) == 1201
        assert app.broker.stats()[0].ready == 1201
        assert requests == [500, 500, 201]

    def test_order_is_kept(self, app: Celeriac, add: Task[..., int]) -> None:
        receipts = add.apply_many([(i,) for i in range(600)])
        claimed = [one for _ in range(2) for one in app.broker.claim(["celery"], 300, "me", 60)]
        assert [one.lease.id for one in claimed] == [one.id for one in receipts]

    def test_many_of_none_is_none(self, app: Celeriac, add: Task[..., int]) -> None:
        assert add.apply_many([]) == []

    def test_a_wrong_set_is_refused_and_its_batch_is_not_sent(self, app: Celeriac, add: Task[..., int]) -> None:
        with pytest.raises(TypeError, match="missing 1 required"):
            add.apply_many([(1,), ()])
        with pytest.raises(TypeError, match="must be a list or tuple"):
            add.apply_many(["text"])
        with pytest.raises(TypeError, match="task_id names one task"):
            add.apply_many([(1,)], task_id="x")
        with pytest.raises(TypeError, match="unknown option"):
            add.apply_many([(1,)], queeue="x")  # type: ignore[call-arg]  # pyright: ignore[reportArgumentType]
        other = app.task(name="other")(lambda: None)
        with pytest.raises(TypeError, match=r"use app\.send_tasks"):
            add.apply_many([other.s()])
        assert app.broker.stats() == []

    def test_different_tasks_go_together(self, app: Celeriac, add: Task[..., int]) -> None:
        signature = app.signature("elsewhere.mail", ("ann",), options={"queue": "images"})
        receipts = app.send_tasks([add.s(1), signature, dict(add.s(2))])
        assert [sent(app, one.id).task for one in receipts] == ["proj.add", "elsewhere.mail", "proj.add"]
        wrong: Any = [5]
        with pytest.raises(TypeError, match="send_tasks takes signatures"):
            app.send_tasks(wrong)

    async def test_the_awaitable_twin_does_the_same(self, app: Celeriac, add: Task[..., int]) -> None:
        receipts = await add.aapply_many([(i,) for i in range(501)], queue="images")
        more = await app.asend_tasks([add.s(1)])
        assert app.broker.stats()[1].ready == 501
        assert sent(app, receipts[0].id).queue == "images"
        assert len(more) == 1


def count_requests(app: Celeriac) -> list[int]:
    """Return a list that grows by the number of messages of each request."""
    counts: list[int] = []
    operations = app._connections._opened().operations
    enqueue = operations.enqueue

    def counting(messages: Any, sending: Any) -> Iterator[Any]:
        counts.append(len(messages))
        return enqueue(messages, sending)

    vars(operations)["enqueue"] = counting
    return counts
