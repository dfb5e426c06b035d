"""What is made of what was found out about a RabbitMQ server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from celeriac.brokers.port import Finding
from celeriac.brokers.rabbitmq.operations.server import examine_server
from celeriac.brokers.rabbitmq.requests import Look, Missing, Seen
from celeriac.brokers.rabbitmq.topology import Binding, QueueSpec, Topology

SEEN = Seen(product="RabbitMQ", version=(4, 1, 0), address="h:5672", user="app", vhost="/", trip=0.001)


def told(**changes: Any) -> dict[str, Finding]:
    operation = examine_server(Topology())
    next(operation)
    with pytest.raises(StopIteration) as ended:
        operation.send(msgspec.structs.replace(SEEN, **changes))
    return {one.subject: one for one in ended.value.value}


def test_the_queues_that_are_looked_at_are_those_that_are_used() -> None:
    named = {
        "a": QueueSpec("a"),
        "news": QueueSpec("news", (Binding("news", "fanout"),), broadcast=True),  # Each worker has its own.
    }
    assert next(examine_server(Topology(queues=named), ["b", "a"])) == Look(["a", "b"])
    assert next(examine_server(Topology())) == Look(["celery"])


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "ok"),
        ({"version": (3, 10, 0)}, "ok"),
        ({"version": (3, 9, 27)}, "warning"),
        ({"version": (0,)}, "warning"),
        ({"product": "LavinMQ"}, "advice"),
    ],
)
def test_the_version_is_judged(changes: dict[str, Any], level: str) -> None:
    assert told(**changes)["RabbitMQ"].level == level


def test_many_missing_rights_stay_one_line_and_names_are_quoted_for_the_shell() -> None:
    missing = tuple(Missing("read", f"q{number}") for number in range(9))
    found = told(user="o'neil", vhost="/", missing=missing)["RabbitMQ permissions"]
    assert found.level == "error"
    assert "and 5 more" in found.text
    assert """-p / 'o'"'"'neil' """ in found.remedy


@pytest.mark.parametrize(
    ("differences", "level", "text"),
    [
        ({"x-delivery-limit": "20"}, "warning", "came back 20 times"),
        ({"x-delivery-limit": None}, "warning", "came back 20 times"),  # What RabbitMQ 4 does by itself.
        ({"x-delivery-limit": "-1"}, "ok", ""),
        ({"x-expires": None}, "ok", ""),
        ({"durable": "true"}, "ok", ""),
        ({"x-max-priority": None}, "advice", "without x-max-priority"),
    ],
)
def test_what_a_queue_has_otherwise_is_told_if_it_matters(
    differences: dict[str, str | None], level: str, text: str
) -> None:
    found = told(differences={"q": differences})["RabbitMQ queues"]
    assert (found.level, text in found.text) == (level, True)


def test_subjects_are_the_same_whatever_was_found() -> None:
    worse = told(
        version=(3, 8),
        blocked="low on memory",
        missing=(Missing("read", "q"),),
        differences={"q": {"x-message-ttl": "1", "x-queue-type": None}},
    )
    assert list(worse) == list(told())
    assert all(finding.remedy for finding in worse.values() if finding.level != "ok")
