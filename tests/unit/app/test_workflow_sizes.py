"""What workflows cost grows with their steps and not faster: messages, bytes, memory."""

from __future__ import annotations

import tracemalloc

import pytest

from celeriac import Celeriac, Signature, chain, chord
from celeriac.app.planting import Planting, plan
from celeriac.core.message import pack


@pytest.fixture
def add(app: Celeriac) -> Signature:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="total")
    def total(values: list[int]) -> int:
        return sum(values)

    return add.s(1, 1)


def messages_of(planting: Planting) -> list[bytes]:
    return [pack(one) for one in [*planting.first, *[one for join in planting.joins for one in join.messages]]]


def stored_bytes(planting: Planting) -> int:
    assert planting.workflow is not None
    return sum(map(len, messages_of(planting))) + len(planting.workflow.record)


def wide(app: Celeriac, add: Signature, count: int) -> Planting:
    return plan(chord([add.clone() for _ in range(count)], app.signature("total")), (), {}, {})


def test_a_chord_of_100_000_tasks_is_linear(app: Celeriac, add: Signature) -> None:
    small = stored_bytes(wide(app, add, 1000)) / 1001
    planting = wide(app, add, 100_000)
    assert len(messages_of(planting)) == 100_001
    assert [(join.number, join.size, len(join.messages)) for join in planting.joins] == [(1, 100_000, 1)]
    assert stored_bytes(planting) / 100_001 < small * 1.1
    assert len(messages_of(planting)[-1]) < 600, "the body's message does not grow with the header"


@pytest.mark.parametrize("count", [500, 5000])
def test_the_memory_of_sending_a_chord_is_linear(app: Celeriac, add: Signature, count: int) -> None:
    whole = chord([add.clone() for _ in range(count)], app.signature("total"))
    plan(whole, (), {}, {})  # What is made once is made now.
    tracemalloc.start()
    plan(whole, (), {}, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / count < 6_000, "bytes for each step"


def test_a_chain_is_linear(app: Celeriac, add: Signature) -> None:
    def per_step(count: int) -> float:
        steps = [add.clone(), *[app.signature("add", (1,)) for _ in range(count - 1)]]
        return stored_bytes(plan(chain(steps), (), {}, {})) / count

    assert per_step(3000) < per_step(30) * 1.1


def test_a_nest_of_chords_is_linear(app: Celeriac, add: Signature) -> None:
    def nested(depth: int) -> Planting:
        whole: Signature = chord([add.clone() for _ in range(10)], app.signature("total"))
        for _ in range(depth - 1):
            whole = chord([whole, *[add.clone() for _ in range(9)]], app.signature("total"))
        return plan(whole, (), {}, {})

    six = nested(6)
    assert len(messages_of(six)) == 6 * 10 + 1
    assert len(six.joins) == 6
    assert stored_bytes(six) / 61 < stored_bytes(nested(1)) / 11 * 1.2
