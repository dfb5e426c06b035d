"""The doctor on a real RabbitMQ: what a user may not do, queues that lose messages, alarms, servers that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pamqp import commands

from celeriac import Exchange, Queue
from celeriac.app.doctor import examine_broker, examine_store, try_out, worst
from celeriac.brokers import NO_QUEUES, connect
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Finding
from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.failures import NoSuchThing
from celeriac.brokers.rabbitmq.hub import hub
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.topology import QUEUE_TYPES
from celeriac.brokers.rabbitmq.url import parse
from celeriac.core.clock import SYSTEM
from celeriac.core.message import Message, Settlement
from celeriac.core.queues import QueuePlan
from celeriac.errors import BrokerError
from celeriac.results import open_results
from tests.support.rabbitmq import RabbitNode
from tests.support.servers import free_port
from tests.support.waiting import wait_for

OWN_NAMES = r"^(celery|celeriac\.|amq\.gen-)"
FAR = 1e12


@pytest.fixture(scope="module")
def place(node: RabbitNode) -> str:
    """A virtual host in which guest may do anything, and the user somebody nothing."""
    node.control("add_vhost", "doctor")
    node.control("set_permissions", "-p", "doctor", "guest", ".*", ".*", ".*")
    node.control("add_user", "somebody", "secret")
    return "doctor"


@pytest.fixture
def vhost(node: RabbitNode, place: str) -> Iterator[str]:
    """That virtual host, empty."""
    yield place
    for name in ("celery", "celery@p9", *(f"{name}-{kind}" for name in ("of", "short") for kind in QUEUE_TYPES)):
        call(at(node, place), wire.DeleteQueue(queue=name))
    for name in ("files", "celeriac.levels"):
        call(at(node, place), commands.Exchange.Delete(exchange=name))


@pytest.fixture
def somebody(node: RabbitNode, vhost: str) -> Iterator[str]:
    """The URL of the virtual host for the user somebody."""
    yield f"amqp://somebody:secret@127.0.0.1:{node.port}/{vhost}"
    node.control("clear_permissions", "-p", vhost, "somebody")


def broker_at(url: str, tmp_path: Path | None = None, queues: Any = None) -> SyncBroker[Any, Any]:
    """Return a broker, paired with a store in a file, or without a folder alone."""
    store = None if tmp_path is None else f"sqlite:///{tmp_path}/store.db"
    broker: SyncBroker[Any, Any] = SyncBroker(
        connect(url, store=store, queues=QueuePlan(queues) if queues else NO_QUEUES)
    )
    broker.install()
    return broker


def examined(url: str, tmp_path: Path | None = None, queues: Any = None) -> dict[str, Finding]:
    with broker_at(url, tmp_path, queues) as broker:
        return {one.subject: one for one in examine_broker(broker, SYSTEM)}


def call(url: str, request: Any) -> None:
    """Have the server do one thing, past Celeriac."""

    async def do() -> None:
        link = Link(parse(url))
        try:
            channel = await (await link.get(FAR)).channel()
            await channel.call(request)
        finally:
            await link.close()

    hub().run(do())


def at(node: RabbitNode, vhost: str) -> str:
    return f"{node.url}{vhost}"


def queues_in(node: RabbitNode, vhost: str) -> list[str]:
    return node.control("list_queues", "-p", vhost, "--no-table-headers", "name").split()


@pytest.mark.parametrize("alone", [False, True])
def test_a_server_in_order_has_no_error_and_is_left_as_it_was(
    node: RabbitNode, vhost: str, tmp_path: Path, alone: bool
) -> None:
    found = examined(at(node, vhost), None if alone else tmp_path)
    told = {subject: one.level for subject, one in found.items()}
    assert "error" not in told.values()
    assert told["RabbitMQ"] == told["RabbitMQ alarm"] == told["RabbitMQ permissions"] == told["RabbitMQ queues"] == "ok"
    assert told["RabbitMQ consumer timeout"] == ("advice" if alone else "ok")
    assert {"needs a store: results" in found, "durability" not in found} == {alone}
    assert queues_in(node, vhost) == []
    assert "celeriac.levels" not in node.control("list_exchanges", "-p", vhost, "name")
    if alone:
        assert "no time" in found["clock"].text
        assert "latency" not in found, "a time that nobody measured"


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True])
def test_a_trial_passes_and_its_queue_goes(node: RabbitNode, vhost: str, tmp_path: Path, alone: bool) -> None:
    with broker_at(at(node, vhost), None if alone else tmp_path) as broker:
        (found,) = try_out(broker)
        assert found.level == "ok", found
    wait_for(lambda: queues_in(node, vhost) == [], 30, "the end of the queue of the trial", every=0.5)


def test_a_trial_needs_no_leave_to_make_queues(node: RabbitNode, vhost: str, tmp_path: Path) -> None:
    plan = QueuePlan([Queue("celery")], create_missing=False)
    with SyncBroker(connect(at(node, vhost), store=f"sqlite:///{tmp_path}/store.db", queues=plan)) as broker:
        broker.install()
        assert [one.level for one in try_out(broker)] == ["ok"]


def test_a_message_that_waits_is_not_touched(node: RabbitNode, vhost: str, tmp_path: Path) -> None:
    with broker_at(at(node, vhost)) as broker:
        broker.enqueue([Message(id="a", task="any")])
        examined(at(node, vhost))
        (delivery,) = broker.claim(["celery"], 10, "me", 30)
        assert not delivery.suspect, "it was delivered to somebody before"
        broker.settle([Settlement(lease=delivery.lease, action="done", state="SUCCESS")])


@pytest.mark.parametrize(
    ("permissions", "lacks"),
    [
        (("", ".*", ".*"), "configure 'celery'"),
        ((".*", "", ".*"), "write 'amq.gen-*', 'amq.default', 'celeriac.levels'"),
        ((".*", ".*", ""), "read 'celery'"),
        (("^celery", ".*", ".*"), "configure 'celeriac.levels'"),
        ((OWN_NAMES, "^celery", OWN_NAMES), "'amq.default'"),
        ((".*", ".*", "^(?!celeriac.levels)"), "read 'celeriac.levels'"),
        ((".*", "^(?!amq.gen)", ".*"), "write 'amq.gen-*'"),
    ],
)
def test_a_missing_right_is_named_with_the_line_to_run(
    node: RabbitNode, vhost: str, somebody: str, permissions: tuple[str, str, str], lacks: str
) -> None:
    node.control("set_permissions", "-p", vhost, "somebody", *permissions)
    found = examined(somebody)["RabbitMQ permissions"]
    assert found.level == "error"
    assert lacks in found.text
    assert f"rabbitmqctl set_permissions -p {vhost} somebody '.*' '.*' '.*'" in found.remedy
    with pytest.raises(NoSuchThing):
        call(at(node, vhost), wire.DeclareQueue(queue="celery", passive=True))


def test_rights_that_are_called_enough_are_enough(node: RabbitNode, vhost: str, somebody: str, tmp_path: Path) -> None:
    node.control("set_permissions", "-p", vhost, "somebody", OWN_NAMES, OWN_NAMES[:-1] + r"|amq\.default$)", OWN_NAMES)
    found = examined(somebody, tmp_path)["RabbitMQ permissions"]
    assert found.level == "ok", found
    with broker_at(somebody, tmp_path) as broker:
        broker.enqueue([Message(id="a", task="any", priority=9)])
        assert [one.lease.id for one in broker.claim(["celery"], 10, "me", 30)] == ["a"]


def test_the_exchanges_of_a_queue_are_tried_too(node: RabbitNode, vhost: str, somebody: str) -> None:
    files = Exchange("files", type="topic")
    queues = [Queue("celery", files, routing_key="#")]
    call(at(node, vhost), wire.DeclareExchange(exchange="files", exchange_type="topic", durable=True))
    node.control("set_permissions", "-p", vhost, "somebody", ".*", "^(?!files)", ".*")
    assert "read or write 'files'" in examined(somebody, None, queues)["RabbitMQ permissions"].text
    node.control("set_permissions", "-p", vhost, "somebody", ".*", "^(?!celery)", ".*")
    assert "may not write 'celery' in" in examined(somebody, None, queues)["RabbitMQ permissions"].text
    node.control("set_permissions", "-p", vhost, "somebody", ".*", ".*", ".*")
    assert examined(somebody, None, queues)["RabbitMQ permissions"].level == "ok"


def test_a_user_who_may_not_enter_is_told_how_to_be_let_in(vhost: str, somebody: str) -> None:
    found = examined(somebody)
    assert found["RabbitMQ"].level == "error"
    assert "rabbitmqctl set_permissions" in found["RabbitMQ"].remedy
    assert "connection" not in found, "it does not answer"


@pytest.mark.parametrize(
    ("properties", "level", "subject", "text"),
    [
        (
            {"arguments": {"x-queue-type": "quorum", "x-message-ttl": 60000}},
            "warning",
            "RabbitMQ queues",
            "after 60000 ms",
        ),
        ({"arguments": {"x-max-length": 10}}, "warning", "RabbitMQ queues", "more than 10"),
        ({"arguments": {"x-expires": 60000}}, "warning", "RabbitMQ queues", "used it for 60000 ms"),
        ({"durable": False}, "warning", "RabbitMQ queues", "when the server restarts"),
        (
            {"auto_delete": True, "arguments": {"x-max-length": 9}},
            "warning",
            "RabbitMQ queues",
            "last consumer",
        ),
        ({"arguments": {"x-queue-mode": "lazy"}}, "advice", "RabbitMQ queues", "x-queue-mode lazy"),
        ({}, "advice", "RabbitMQ queue type", "'celery' is classic"),
    ],
)
def test_a_queue_that_somebody_made_otherwise_is_told(
    node: RabbitNode, vhost: str, tmp_path: Path, properties: dict[str, Any], level: str, subject: str, text: str
) -> None:
    call(at(node, vhost), wire.DeclareQueue(**{"queue": "celery", "durable": True, **properties}))
    found = examined(at(node, vhost), tmp_path)[subject]
    assert found.level == level
    assert text in found.text
    assert found.remedy


def test_queues_that_celeriac_made_are_as_they_should_be(node: RabbitNode, vhost: str) -> None:
    for kind in QUEUE_TYPES:
        url = f"{at(node, vhost)}?queue_type={kind}"
        queues = [Queue(f"of-{kind}"), Queue(f"short-{kind}", queue_arguments={"x-message-ttl": 60000})]
        with broker_at(url, None, queues) as broker:
            broker.enqueue([Message(id=one.name, task="any", queue=one.name) for one in queues])
        found = examined(url, None, queues)
        assert found["RabbitMQ queues"].level == "ok", found["RabbitMQ queues"]
        assert found["RabbitMQ queue type"].level == ("ok" if kind == "quorum" else "advice")


def test_an_alarm_is_told_at_once_and_holds_nobody_up(node: RabbitNode, vhost: str, tmp_path: Path) -> None:
    with broker_at(at(node, vhost), tmp_path) as broker:
        broker.enqueue([Message(id="a", task="any")])
        node.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            found = {one.subject: one for one in broker.examine()}
            assert "RabbitMQ alarm" in found, found["RabbitMQ"]
            assert found["RabbitMQ alarm"].level == "error"
            assert "memory" in found["RabbitMQ alarm"].text
            assert [one.lease.id for one in broker.claim(["celery"], 10, "me", 30)] == ["a"]
        finally:
            node.control("set_vm_memory_high_watermark", "absolute", "1GB")
        wait_for(
            lambda: {one.subject: one.level for one in broker.examine()}["RabbitMQ alarm"] == "ok",
            20,
            "the end of the alarm",
        )


def test_of_two_servers_the_one_that_is_there_is_told_about(node: RabbitNode, vhost: str, tmp_path: Path) -> None:
    found = examined(f"amqp://guest:hunter2@127.0.0.1:{free_port()}/?timeout=1", tmp_path)
    assert found["RabbitMQ"].level == "error"
    assert "check that the server runs" in found["RabbitMQ"].remedy
    assert found["schema"].level == "ok"
    wrong = examined(at(node, vhost).replace("guest:guest", "guest:hunter2"), tmp_path)
    assert wrong["RabbitMQ"].level == worst(wrong.values()) == "error"
    assert "hunter2" not in repr(found) + repr(wrong)


def test_a_short_timeout_matters_only_to_who_holds_deliveries(node: RabbitNode, vhost: str, tmp_path: Path) -> None:
    queues = [Queue("celery", queue_arguments={"x-consumer-timeout": 120_000})]
    found = examined(at(node, vhost), None, queues)["RabbitMQ consumer timeout"]
    assert found.level == "warning"
    assert "120 s" in found.text
    assert examined(at(node, vhost), tmp_path, queues)["RabbitMQ consumer timeout"].level == "ok"
    assert examined(at(node, vhost))["RabbitMQ consumer timeout"].level == "advice"


def test_examining_needs_no_more_than_it_says(node: RabbitNode, vhost: str, somebody: str) -> None:
    """A user who lacks a right is refused by the broker as well: the finding is no false alarm."""
    node.control("set_permissions", "-p", vhost, "somebody", "", ".*", ".*")
    with broker_at(somebody) as broker, pytest.raises(BrokerError, match="refused"):
        broker.enqueue([Message(id="a", task="any")])


def test_results_that_are_messages_need_a_server_and_have_no_clock(node: RabbitNode, vhost: str, somebody: str) -> None:
    def told(url: str) -> dict[str, str]:
        with open_results(url.replace("amqp://", "rpc+amqp://")) as store:
            return {one.subject: one.level for one in examine_store(store, SYSTEM)}

    fine = {"RabbitMQ": "ok", "RabbitMQ alarm": "ok", "RabbitMQ permissions": "ok", "results": "advice"}
    assert told(at(node, vhost)) == fine
    node.control("set_permissions", "-p", vhost, "somebody", "", ".*", ".*")
    assert told(somebody) == {**fine, "RabbitMQ permissions": "error"}
    assert told(f"amqp://127.0.0.1:{free_port()}/?timeout=1")["RabbitMQ"] == "error"
