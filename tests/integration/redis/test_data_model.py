"""What lies in Redis: nothing is left behind, nothing is lost by a flush, a full server or foreign bytes."""

from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.core.message import Delivery, Message, Settlement, Start, StoredResult
from celeriac.core.workflow import Join, Workflow
from celeriac.errors import CeleriacError, SchemaError
from tests.support.redis_time import RedisClock, client, fresh_prefix, server, use_movable_scripts
from tests.support.servers import RedisServer

LEASE = 10.0
QUEUES = ("one", "two")

Broker = SyncBroker[Any, Any]


@pytest.fixture(autouse=True, scope="module")
def movable_scripts() -> Iterator[None]:
    undo = use_movable_scripts()
    yield
    undo()


@pytest.fixture
def prefix() -> str:
    return fresh_prefix()


@pytest.fixture(params=[1, 3], ids=["whole", "in-parts"])
def partitions(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def broker(prefix: str, partitions: int) -> Iterator[Broker]:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}&partitions={partitions}")) as opened:
        yield opened


def message(id: str, queue: str = "one", **fields: Any) -> Message:
    return Message(id=id, task=f"proj.{queue}", queue=queue, **fields)


def settle(broker: Broker, deliveries: list[Delivery], action: Any = "done", **fields: Any) -> None:
    assert broker.settle([Settlement(lease=one.lease, action=action, **fields) for one in deliveries]) == ()


def result(id: str, state: str = "SUCCESS", **fields: Any) -> StoredResult:
    return StoredResult(id=id, state=state, **fields)


def busy(broker: Broker, clock: RedisClock) -> None:
    """Bring messages into every state there is, by every way."""
    now = clock.now()
    broker.install()
    for queue in QUEUES:
        broker.enqueue([message(f"{queue}-{n}", queue, priority=n % 10) for n in range(40)])
        broker.enqueue([message(f"{queue}-later-{n}", queue, eta=now + 200 + n) for n in range(10)])
    first = broker.claim(QUEUES, 20, "w1", LEASE)
    settle(broker, first[:4], follow_ups=(message("next", "one"), message("next, later", "two", eta=now + 300)))
    settle(broker, first[4:6], "release", crashed=True)
    for one in first[6:8]:
        assert one.message is not None
        settle(broker, [one], "retry", message=one.message, due=now + 400)
    settle(broker, first[8:10], "dead", reason="why", result=result("dead", expires=now + 50))
    broker.start([Start(one.lease, once=True) for one in first[10:12]])
    broker.cancel([result(first[12].lease.id, "REVOKED", expires=now + 50)])
    broker.cancel([result("two-later-3", "REVOKED", expires=now + 50)])
    broker.progress([result("p", "PROGRESS", expires=now + 50)])
    broker.store([result("q", expires=now + 50)])
    broker.heartbeat(WorkerRecord(name="w@h", owners=("w1",)), 30)
    broker.elect("beat", "w1", 30)
    broker.broadcast(Command(id="c", name="ping", expires_in=20))
    broker.reply([CommandReply("c", "w@h")])
    clock.advance(LEASE * 1.5)
    broker.reclaim("judge", 2, crash_limit=3)
    broker.extend(["w1"], LEASE)  # What the reclaim left goes into a pool.
    broker.reclaim("judge", 2, crash_limit=3)
    broker.claim(QUEUES, 3, "w2", LEASE)


def finish(broker: Broker, clock: RedisClock) -> None:
    """Settle everything, and let time pass."""
    clock.advance(1000)
    while broker.reclaim("judge", 500, crash_limit=0).owners:
        pass
    held = [Delivery(None, lease) for owner in ("w1", "judge") for lease in broker.holdings(owner)]
    settle(broker, held)
    while found := broker.claim(QUEUES, 7, "w2", LEASE):
        settle(broker, found, result=None)
    for queue in QUEUES:
        broker.purge(queue, dead=True)


def keys(prefix: str) -> dict[str, bool]:
    """Return the names of all keys without the prefix and the number of the partition, and whether each expires."""
    found: dict[str, bool] = {}
    for name in client().scan_iter("*"):
        assert name.startswith(b"{" + prefix.encode())
        short = name.decode().partition("}:")[2]
        found[short] = found.get(short, True) and client().pttl(name) >= 0
    return found


def test_nothing_is_left_when_all_is_settled_and_old(broker: Broker, prefix: str, partitions: int) -> None:
    clock = RedisClock(prefix, partitions)
    busy(broker, clock)
    kinds = {name.partition(":")[0] for name in keys(prefix)}
    assert kinds >= {"m", "q", "l", "y", "d", "dead", "s", "o", "x", "pools", "leases", "c", "r", "role", "reply"}
    finish(broker, clock)
    assert broker.stats() == []
    clock.advance(2 * 3600)
    while broker.prune(0.0, 10):
        pass
    # The clock is the test's; the numbers, the version and the counts of settlements (by task and state) stay.
    assert keys(prefix) == {"clock": False, "n": False, "v": False, "t": False}


def test_what_is_not_a_task_or_bounded_expires(broker: Broker, prefix: str, partitions: int) -> None:
    busy(broker, RedisClock(prefix, partitions))
    lasting = {name.partition(":")[0] for name, expires in keys(prefix).items() if not expires}
    assert lasting - {"clock"} <= {
        *("m", "q", "l", "y", "d", "dead", "s", "o", "x", "pools", "c"),  # go with their messages
        *("leases", "ended", "queues", "owned"),  # bounded by owners and queues; pruned
        *("n", "v", "t"),
    }


def test_everything_goes_on_after_a_flush(prefix: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.install()
        broker.enqueue([message("a"), message("b")])
        (before, _) = broker.claim(["one"], 2, "w1", LEASE)
        _, cursor = broker.commands(None)
        client().flushall()
        client().script_flush()
        with pytest.raises(SchemaError, match="keys were deleted"):
            broker.verify()
        assert broker.extend(["w1"], LEASE) == ()
        assert broker.settle([Settlement(lease=before.lease, action="done")]) == ("a",)
        assert broker.enqueue([message("a")]) == ()
        (after,) = broker.claim(["one"], 2, "w1", LEASE)
        assert after.lease.token > before.lease.token
        assert broker.settle([Settlement(lease=before.lease, action="done")]) == ("a",)
        broker.broadcast(Command(id="c", name="ping"))
        found, _ = broker.commands(cursor)
        assert [command.id for command in found] == ["c"]
        settle(broker, [after])
        assert broker.install() == broker.verify()


def test_another_version_of_the_data_is_refused(prefix: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        for version, advice in (("999", "upgrade Celeriac"), ("theirs", "another prefix")):
            client().set(f"{{{prefix}}}:v", version)
            for call in (broker.install, broker.verify):
                with pytest.raises(SchemaError, match=advice):
                    call()


@pytest.mark.parametrize("queues", [("one",), QUEUES])
def test_a_name_that_is_no_text_spoils_nothing_beside_it(prefix: str, queues: tuple[str, ...]) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.enqueue([message("a"), message("b", queues[-1])])
        client().zadd(f"{{{prefix}}}:q:one", {b"\xff\x00odd\xfe": 1})
        found = {one.lease.id: one for one in broker.claim(queues, 10, "w", LEASE)}
        assert set(found) == {"a", "b", "\\xff\x00odd\\xfe"}
        odd = found.pop("\\xff\x00odd\\xfe")
        assert odd.message is None
        assert {one.id for one in broker.holdings("w")} == {"a", "b", odd.lease.id}
        settle(broker, list(found.values()))
        settle(broker, [odd], "dead", reason="no message")
        (record,) = broker.page(["DEAD"], None, 0, 10)
        assert (record.id, record.reason) == (odd.lease.id, "no message")


@pytest.mark.parametrize("value", [b"", b"\x00", b"\xff\xffx", b"\x00\x01", b"\x00\x02\x30\xff", b"garbage" * 9])
def test_foreign_bytes_under_an_id_are_handed_out(prefix: str, value: bytes) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.enqueue([message("bad"), message("good")])
        client().hset(f"{{{prefix}}}:m", "bad", value)
        bad, good = broker.claim(["one"], 5, "w1", LEASE)
        assert (bad.message, bad.lease.id) == (None, "bad")
        assert good.message is not None
        settle(broker, [bad], "dead", reason="unreadable")
        assert [(one.id, one.reason) for one in broker.get(["bad"])] == [("bad", "unreadable")]
        settle(broker, [good])
        broker.stats()


def test_a_message_whose_bytes_are_gone_is_handed_out_without_them(prefix: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.enqueue([message("a", "one"), message("b", "two")])
        client().delete(f"{{{prefix}}}:m")
        found = broker.claim(QUEUES, 5, "w1", LEASE)
        assert [(one.lease.id, one.message, one.raw) for one in found] == [("a", None, b""), ("b", None, b"")]
        settle(broker, found)
        assert broker.stats() == []


@pytest.mark.parametrize("value", ["inf", "nan", "9" * 400, "-5", "", "theirs"])
def test_a_counter_that_cannot_be_ours_spoils_no_place_and_no_token(prefix: str, value: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        client().set(f"{{{prefix}}}:n", value)
        broker.enqueue([message("a"), message("b", priority=9)])
        found = broker.claim(["one"], 5, "w1", LEASE)
        assert [one.lease.id for one in found] == ["b", "a"]
        assert 0 < found[0].lease.token < 1 << 49
        assert {one.token for one in broker.holdings("w1")} == {found[0].lease.token}
        settle(broker, found)


@pytest.mark.parametrize("key", ["q:one", "m", "s", "n"])
def test_a_key_of_the_wrong_kind_loses_nothing(prefix: str, key: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        client().rpush(f"{{{prefix}}}:{key}", "somebody else's")
        try:
            broker.enqueue([message("a")])
        except CeleriacError:
            client().delete(f"{{{prefix}}}:{key}")
            assert broker.enqueue([message("a")]) == (), "what was refused is not there"
        else:
            client().delete(f"{{{prefix}}}:{key}")
        assert [one.lease.id for one in broker.claim(["one"], 5, "w1", LEASE)] == ["a"]


def test_a_full_server_refuses_what_is_new_and_lets_the_rest_be_finished() -> None:
    with RedisServer(unix=True) as full, SyncBroker(connect(full.url)) as broker, full.client() as admin:
        broker.install()
        broker.enqueue([message(f"t{n}", argsrepr="x" * 500) for n in range(60)])
        running = broker.claim(["one"], 20, "w1", LEASE)
        broker.heartbeat(WorkerRecord(name="w@h"), LEASE)
        admin.config_set("maxmemory", "1")
        with pytest.raises(CeleriacError, match="maxmemory"):
            broker.enqueue([message("new")])
        assert broker.get(["new"]) == []
        broker.install()  # What starts now drains it.
        assert broker.extend(["w1"], LEASE) == ()
        assert broker.start([Start(one.lease, once=True) for one in running]) == ()
        assert broker.progress([result("t0", "STARTED")]) == ()
        broker.heartbeat(WorkerRecord(name="w@h"), LEASE)
        assert broker.elect("beat", "w1", LEASE) is True
        settle(broker, running[:5], result=result("r", body=b"x" * 100))
        settle(broker, running[5:10], "dead", reason="why")
        settle(broker, running[10:12], "release")
        assert len(broker.reclaim("judge", 10, crash_limit=1, owner="w1").verdicts) == 8
        assert len(broker.claim(["one"], 100, "w2", LEASE)) == 42
        admin.config_set("maxmemory", "0")
        assert broker.enqueue([message("new")]) == ()


def test_large_messages_are_claimed_a_few_at_a_time(prefix: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        body = b"x" * 1_000_000
        broker.enqueue([message(f"t{n}", body=body) for n in range(40)])
        claims: list[int] = []
        while found := broker.claim(["one"], 500, "w1", LEASE):
            claims.append(len(found))
            settle(broker, found)
        assert sum(claims) == 40
        assert max(claims) <= 16, "a reply should not have much more than eight megabytes"


def test_follow_ups_of_many_megabytes_go_before_their_settlement(prefix: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.enqueue([message("a", "two")])
        (delivery,) = broker.claim(["two"], 1, "w1", LEASE)
        following = tuple([message(f"t{n}", body=b"x" * 1_000_000) for n in range(12)])
        settlement = Settlement(lease=delivery.lease, action="done", follow_ups=following)
        assert broker.settle([settlement]) == ()
        assert broker.settle([settlement]) == ("a",)
        assert [one.ready for one in broker.stats()] == [12]


def test_the_oldest_of_many_that_were_given_back_tells_the_age(prefix: str) -> None:
    clock = RedisClock(prefix)
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.enqueue([message(f"later-{n}", eta=clock.now() + 1000) for n in range(120)])
        clock.advance(100)
        broker.enqueue([message("waits")])
        clock.advance(900.5)
        broker.promote(500)
        clock.advance(50)
        (stats,) = broker.stats()
        assert stats.ready == 121
        assert stats.oldest == pytest.approx(950.5, abs=0.001), "when they became ready counts, not when they were sent"
        (waits,) = [one for one in broker.claim(["one"], 121, "w1", LEASE) if one.lease.id == "waits"]
        assert waits.message is not None
        (stats,) = broker.stats()
        assert (stats.ready, stats.oldest, stats.owned) == (0, None, 121)


def test_of_two_follow_ups_with_one_id_the_first_counts(prefix: str) -> None:
    with SyncBroker(connect(f"{server().url}?prefix={prefix}")) as broker:
        broker.enqueue([message("a"), message("b")])
        first, second = broker.claim(["one"], 2, "w1", LEASE)
        settlements = [
            Settlement(lease=first.lease, action="done", follow_ups=(message("next", "one"),)),
            Settlement(lease=second.lease, action="done", follow_ups=(message("next", "two"),)),
        ]
        assert broker.settle(settlements) == ()
        assert [(one.queue, one.ready) for one in broker.stats()] == [("one", 1)]


def test_a_look_into_one_slot_costs_the_same_in_a_join_of_any_size(broker: Broker) -> None:
    broker.plant(Workflow(id="wide", size=1, record=b""), [Join(number=1, size=100_000)])
    reads = client().info("commandstats")["cmdstat_hmget"]["calls"]
    assert broker.harvest("wide", 1, 10, 1, until=11).arrived == []
    assert client().info("commandstats")["cmdstat_hmget"]["calls"] - reads <= 3
