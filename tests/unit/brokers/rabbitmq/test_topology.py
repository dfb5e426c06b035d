"""Names of queues, routes, and the steps of delays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import Broadcast, Exchange, Queue
from celeriac.brokers import connect
from celeriac.brokers.rabbitmq.topology import LONGEST_STEP, SHORTEST, Topology, logical, step, topology, written
from celeriac.core.queues import QueuePlan, binding, served_by
from celeriac.errors import ImproperlyConfigured

NAMES = st.text(alphabet="ab@p19%0A25D\r\n.", min_size=1, max_size=12)


@given(NAMES, NAMES, st.integers(0, 9), st.integers(0, 9))
def test_no_two_levels_of_queues_have_one_name(one: str, other: str, level: int, other_level: int) -> None:
    plan = Topology()
    first, second = plan.physical(one, level), plan.physical(other, other_level)
    assert (first == second) == ((one, level) == (other, other_level))
    assert not {"\r", "\n"} & set(first)
    assert logical(first) == (one, level)


def test_names_stay_as_they_are_where_they_can() -> None:
    for name in ("celery", "a b", "100%", "a@b", "é", "w@host"):
        assert written(name) == name


@given(st.floats(0.05, 10 * LONGEST_STEP))
def test_a_step_fits_and_takes_a_good_part(seconds: float) -> None:
    found = step(seconds)
    assert SHORTEST <= found <= max(seconds, SHORTEST)
    assert found > min(seconds, LONGEST_STEP) / 2.01


def test_routes() -> None:
    files = Exchange("files", type="topic")
    plan = topology(
        QueuePlan([Queue("a", files, "a.#"), Queue("b", [binding(files, "*.b")]), "plain", Broadcast("all")]), "quorum"
    )
    assert plan.routes("files", "a") == ["a"]
    assert plan.routes("files", "a.b") == ["a", "b"]
    assert plan.routes("files", "c.b") == ["b"]
    assert plan.routes("files", "c.b.c") == []
    assert plan.is_broadcast("all")
    assert not plan.is_broadcast("files")
    assert plan.type_of("all@w1") == "classic"
    assert served_by(["a", "all"], [Broadcast("all")], "w1@h") == ("a", "all@w1@h")


def test_arguments() -> None:
    plan = topology(QueuePlan([Queue("c", queue_arguments={"x-queue-type": "classic"}, max_priority=5)]), "quorum")
    assert plan.arguments("c", (3, 10)) == {"x-queue-type": "classic", "x-max-priority": 5}
    assert plan.arguments("q", (3, 10, 8)) == {"x-queue-type": "quorum"}
    assert plan.arguments("q", (4, 1)) == {"x-queue-type": "quorum", "x-delivery-limit": -1}


def test_the_type_of_queues_is_the_urls_or_else_the_settings() -> None:
    said = QueuePlan(queue_type="classic")
    assert topology(said, None).type_of("q") == "classic"
    assert topology(said, "quorum").type_of("q") == "quorum"
    assert topology(QueuePlan(), None).type_of("q") == "quorum"
    with pytest.raises(ImproperlyConfigured, match="task_default_queue_type='lazy' is not one of quorum, classic"):
        topology(QueuePlan(queue_type="lazy"), None)


def test_other_brokers_have_no_broadcast_queues() -> None:
    with pytest.raises(ImproperlyConfigured, match="only RabbitMQ has broadcast queues, as 'all'"):
        connect("memory://x", queues=QueuePlan([Broadcast("all")]))


def test_an_exchange_has_a_known_type() -> None:
    with pytest.raises(ImproperlyConfigured, match="direct, topic"):
        Exchange("x", type="topics")
