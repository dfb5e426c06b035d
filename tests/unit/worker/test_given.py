"""What steps of workflows are given, read from the store or remembered."""

from __future__ import annotations

from typing import Any

import msgspec

from celeriac.core.message import Arrival, Delivery, Lease, Message, Place, StoredResult
from celeriac.core.workflow import ALL, Arrived, Harvest
from celeriac.worker.given import KEPT, LARGEST, Known, with_given


def result(body: bytes = b"1") -> StoredResult:
    return StoredResult(
        id="before", state="SUCCESS", body=body, content_type="application/json", content_encoding="utf-8"
    )


def arrival(join: int = 1, **fields: Any) -> Arrival:
    return Arrival(**{"workflow": "flow", "join": join, "slot": 0, "result": result(), **fields})


def step(join: int = 1, **fields: Any) -> Delivery:
    message = Message(
        id="a", task="t", workflow="flow", place=Place(join=0, slot=0, awaits=join, **{"takes": 0, **fields})
    )
    return Delivery(lease=Lease("a", "owner", 1), message=message)


class Store:
    def __init__(self) -> None:
        self.asked: list[int] = []

    async def harvest(self, workflow: str, join: int, after: int, limit: int) -> Harvest:
        self.asked.append(join)
        return Harvest(size=1, failed=None, arrived=[Arrived(0, False, result(b"2"))])


async def test_what_ended_here_is_not_asked_for() -> None:
    known, store = Known(), Store()
    known.arrived([arrival(1)])
    one, other = await with_given(store, [step(1), step(2)], known)
    assert (one.given, other.given) == ({0: result(b"1")}, {0: result(b"2")})
    assert store.asked == [2]


async def test_what_a_group_came_to_is_asked_for_whole() -> None:
    known, store = Known(), Store()
    known.arrived([arrival(1)])
    await with_given(store, [step(1, gathers=True)], known)
    await with_given(store, [step(1, takes=ALL)], known)
    assert store.asked == [1, 1]


async def test_failures_which_may_be_mended_and_large_values_are_not_remembered() -> None:
    known, store = Known(), Store()
    known.arrived([arrival(1, failed=True), arrival(2, result=result(b"x" * (LARGEST + 1)))])
    await with_given(store, [step(1), step(2)], known)
    assert store.asked == [1, 2]


async def test_the_latest_are_remembered() -> None:
    known, store = Known(), Store()
    for join in range(KEPT + 1):
        known.arrived([arrival(join)])
    await with_given(store, [step(0), step(1), step(KEPT)], known)
    assert store.asked == [0]


async def test_without_a_memory_all_is_asked_for() -> None:
    store = Store()
    (one,) = await with_given(store, [step(1)])
    assert one.given == {0: result(b"2")}
    assert msgspec.structs.replace(one, given=None) == step(1)
