"""The Redis operations driven by hand: what they ask for, without a server."""

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers.port import Sending
from celeriac.brokers.redis import keys as keys_module
from celeriac.brokers.redis import scripts
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations import RedisOperations
from celeriac.brokers.redis.operations.records import MAX_SCRIPT_BYTES, base, record, stored
from celeriac.brokers.redis.requests import Script
from celeriac.core.message import Lease, Message, Settlement, Start, StoredResult, pack
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, SchemaError

WHOLE = RedisOperations(Keys())
PARTS = RedisOperations(Keys(prefix="p", partitions=4))
NAMES = sorted(path.stem for path in Path(scripts.__file__).parent.glob("*.lua"))

Asked = Generator[Any, Any, Any]


def message(id: str = "a", queue: str = "celery", **fields: Any) -> Message:
    return Message(id=id, task="proj.add", queue=queue, **fields)


def done(id: str = "a", token: int = 7, partition: int = 0, **fields: Any) -> Settlement:
    return Settlement(lease=Lease(id, "w", token, partition), action="done", **fields)


def drive(operation: Asked, *replies: Any) -> tuple[list[Script], Any]:
    """Answer each request with the next reply; return the requests and the result."""
    asked: list[Script] = []
    left = list(replies)
    try:
        asked.append(next(operation))
        while True:
            asked.append(operation.send(left.pop(0)))
    except StopIteration as stop:
        assert not left
        return asked, stop.value


def queue_in(keys: Keys, partition: int) -> str:
    return next(name for name in map("q{}".format, range(99)) if keys.of_queue(name) == partition)


def id_in(keys: Keys, partition: int) -> str:
    return next(name for name in map("t{}".format, range(99)) if keys.of_id(name) == partition)


# Keys


def test_all_keys_of_a_partition_have_one_hash_tag() -> None:
    assert WHOLE.keys.root(0) == "{celeriac}:m"
    assert PARTS.keys.root(3) == "{p:3}:m"
    assert PARTS.keys.wake_channels() == ("{p:0}:wake", "{p:1}:wake", "{p:2}:wake", "{p:3}:wake")
    assert PARTS.keys.owner_channels("w") == PARTS.keys.wake_channels(), "where a claim is several steps, all are woken"
    assert WHOLE.keys.owner_channels("w") == ("{celeriac}:wake:w", "{celeriac}:sooner")
    assert PARTS.keys.done_channel("x") == f"{{p:{PARTS.keys.of_id('x')}}}:done:x"


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b"])
def test_a_prefix_that_makes_no_hash_tag_is_refused(prefix: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="prefix"):
        Keys(prefix)


def test_there_is_at_least_one_partition() -> None:
    with pytest.raises(ImproperlyConfigured, match="at least 1"):
        Keys(partitions=0)


def test_places_are_exact_in_a_double_and_have_sixteen_digits() -> None:
    for priority in range(10):
        for number in (0, (1 << 49) - 1):
            place = base(priority) + number
            assert len(str(place)) == 16
            assert int(float(place)) == place
    assert base(9) < base(0)


def test_the_page_names_keys_that_there_are() -> None:
    page = (Path(__file__).parents[4] / "docs" / "explanation" / "redis.md").read_text()
    named = {name.removeprefix(":") for name in re.findall(r"`{celeriac}:([^`]+)`", page)}
    described = set(re.findall(r"``T ([^`]+)``", keys_module.__doc__ or "")) | {"done:<id>"}
    assert len(named) > 9
    assert named <= described


# Scripts


@pytest.mark.parametrize("name", NAMES)
def test_a_script_says_what_it_takes_and_returns_and_is_complete(name: str) -> None:
    text = scripts.source(name)
    head = text.partition("local ")[0]
    assert "KEYS:" in head
    assert "Returns" in head
    assert "include" not in text
    assert not re.search(r"call\('(KEYS|SCAN|FLUSH\w+)'", text)


def test_every_script_is_asked_for() -> None:
    sources = Path(scripts.__file__).parents[1].joinpath("operations").glob("*.py")
    asked = set(re.findall(r'Script\(\s*"(\w+)"', "".join(path.read_text() for path in sources)))
    assert asked == set(NAMES)


# One partition: one script


def test_a_batch_is_one_script() -> None:
    asked, known = drive(WHOLE.enqueue([message("a"), message("b"), message("c", priority=3)]), [b"b"])
    assert known == ("b",)
    (script,) = asked
    assert script.name == "enqueue"
    first = ["", "", "", "celery", base(0), "", 2, "a", stored(message("a")), "b", stored(message("b"))]
    assert script.args == [*first, "celery", base(3), "", 1, "c", stored(message("c", priority=3))]


def test_an_id_twice_in_a_batch_is_sent_once() -> None:
    asked, known = drive(WHOLE.enqueue([message("a", argsrepr="1"), message("a", argsrepr="2")]), [])
    assert known == ("a",)
    assert asked[0].args[6] == 1
    assert asked[0].args[8] == stored(message("a", argsrepr="1"))


def test_what_a_call_is_sent_as_is_told_and_makes_it_repeatable() -> None:
    asked, known = drive(WHOLE.enqueue([message("a"), message("b")], Sending("sender", 7, memory=2.5)), None)
    assert asked[0].args[:3] == ["sender", 7, "2500"]
    assert asked[0].repeatable
    assert known == ("a", "b"), "it had been there before"


def test_each_part_of_a_long_call_is_sent_as_its_own() -> None:
    body = b"x" * (MAX_SCRIPT_BYTES // 2)
    messages = [message(f"t{n}", body=body) for n in range(3)]
    asked, known = drive(WHOLE.enqueue(messages, Sending("sender", 7)), [], None, [])
    assert [script.args[:2] for script in asked] == [["sender", 7], ["sender/1", 7], ["sender/2", 7]]
    assert known == ("t1",)


def test_nothing_is_no_script() -> None:
    empty: list[Asked] = [
        WHOLE.enqueue([]),
        WHOLE.start([]),
        WHOLE.extend([], 1.0),
        WHOLE.settle([]),
        WHOLE.cancel([]),
        WHOLE.revive([]),
        WHOLE.store([]),
        WHOLE.progress([]),
        WHOLE.fetch([]),
        WHOLE.discard([]),
        WHOLE.get([]),
        WHOLE.claim([], 5, "w", 1.0),
        WHOLE.page(["PENDING"], None, 0, 0),
        WHOLE.reply([]),
    ]
    assert [drive(operation)[0] for operation in empty] == [[]] * len(empty)


def test_a_claim_of_nothing_tells_that_its_owner_is_not_idle() -> None:
    (script,), found = drive(WHOLE.claim(["a"], 0, "w", 1.0), None)
    assert (script.name, script.args[2], found) == ("claim", 0, [])


def test_a_settlement_with_all_that_belongs_to_it_is_one_script() -> None:
    settlement = done(result=StoredResult(id="a", state="SUCCESS"), follow_ups=(message("b"),))
    asked, lost = drive(WHOLE.settle([settlement]), [[], []])
    assert (lost, [script.name for script in asked]) == ((), ["settle"])
    assert asked[0].args[:6] == [1, "w", 1, "a", "0000000000000007d-r--SUCCESS", "a"]


def test_places_in_the_reply_are_those_of_the_settlements() -> None:
    settlements = [done("a"), Settlement(lease=Lease("b", "other", 7), action="done"), done("c")]
    _, lost = drive(WHOLE.settle(settlements), [[1, 2], []])
    assert lost == ("c", "b"), "grouped by owner"


def test_a_lease_of_no_partition_is_lost() -> None:
    assert drive(WHOLE.settle([done(partition=5)])) == ([], ("a",))
    assert drive(WHOLE.start([Start(Lease("a", "w", 1, -1))])) == ([], ("a",))


def test_what_has_too_many_bytes_for_one_script_is_several() -> None:
    body = b"x" * (MAX_SCRIPT_BYTES // 2)
    asked, _ = drive(WHOLE.enqueue([message(f"t{n}", body=body) for n in range(3)]), [], [], [])
    assert [script.args[7] for script in asked] == ["t0", "t1", "t2"]
    results = [StoredResult(id=f"t{n}", state="SUCCESS", body=body) for n in range(3)]
    asked, _ = drive(WHOLE.store(results), None, None, None)
    assert [script.args[0] for script in asked] == ["t0", "t1", "t2"]
    asked, _ = drive(WHOLE.settle([done(result.id, result=result) for result in results]), *[[[], []]] * 3)
    assert [script.name for script in asked] == ["settle"] * 3


def test_follow_ups_too_large_for_one_script_go_before_the_settlement() -> None:
    body = b"x" * (MAX_SCRIPT_BYTES // 2)
    settlement = done(follow_ups=tuple([message(f"t{n}", body=body) for n in range(3)]))
    asked, lost = drive(WHOLE.settle([settlement]), [[], []], [], [], [], [[], []])
    assert [script.name for script in asked] == ["held", "enqueue", "enqueue", "enqueue", "settle"]
    assert lost == ()
    asked, lost = drive(WHOLE.settle([settlement]), [[0], []], [[], []])
    assert [script.name for script in asked] == ["held", "settle"]
    assert lost == ("a",)


def test_a_task_name_too_long_for_the_header_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="60000"):
        next(WHOLE.enqueue([Message(id="a", task="x" * 60_001)]))


# Several partitions


def test_result_and_follow_ups_that_belong_elsewhere_go_before_the_settlement() -> None:
    keys = PARTS.keys
    id = id_in(keys, 1)
    settlement = done(
        id,
        partition=0,
        result=StoredResult(id=id, state="SUCCESS"),
        follow_ups=(message("here", queue_in(keys, 0)), message("there", queue_in(keys, 2))),
    )
    asked, lost = drive(PARTS.settle([settlement]), [[], []], None, [], [[], []])
    assert lost == ()
    assert [(script.name, script.keys[0]) for script in asked] == [
        ("held", "{p:0}:m"),
        ("store", "{p:1}:m"),
        ("enqueue", "{p:2}:m"),
        ("settle", "{p:0}:m"),
    ]
    assert "here" in asked[-1].args
    assert "there" not in asked[-1].args


def test_a_cancelled_task_that_would_go_on_elsewhere_goes() -> None:
    keys = PARTS.keys
    moved = message("a", queue_in(keys, 2))
    settlement = Settlement(lease=Lease("a", "w", 7, 0), action="retry", message=moved, due=5.0)
    revoked = [b"a", b"", b"1revoked"]
    asked, lost = drive(PARTS.settle([settlement]), [[], [0]], [[], revoked], None)
    assert lost == ()
    assert [script.name for script in asked] == ["held", "settle", "store"]
    assert asked[1].args[4] == "0000000000000007l----"
    assert asked[2].keys == (keys.root(keys.of_id("a")),)


def test_a_retry_in_another_partition_waits_there_and_is_counted_here() -> None:
    keys = PARTS.keys
    moved = message("a", queue_in(keys, 2))
    settlement = Settlement(lease=Lease("a", "w", 7, 0), action="retry", message=moved, due=5.0)
    asked, _ = drive(PARTS.settle([settlement]), [[], []], [], [[], []])
    assert [script.name for script in asked] == ["held", "enqueue", "settle"]
    assert asked[1].args[5] == "5.0"
    assert asked[2].args[4] == "0000000000000007d----RETRY"


def test_each_claim_begins_with_another_partition() -> None:
    queues = [queue_in(PARTS.keys, partition) for partition in range(4)]
    firsts: list[Any] = [next(PARTS.claim(queues, 5, "w", 1.0)) for _ in range(4)]
    assert len({script.keys[0] for script in firsts}) == 4


def test_a_claim_asks_no_further_than_its_limit() -> None:
    queues = [queue_in(PARTS.keys, partition) for partition in range(4)]
    value = stored(message("a"))
    asked, found = drive(PARTS.claim(queues, 1, "w", 1.0), [9, [b"a"], [value], [1, 2, b"1"]])
    assert len(asked) == 1
    (delivery,) = found
    assert (delivery.message, delivery.crashes, delivery.suspect) == (message("a"), 2, True)


# Replies


def test_a_record_is_read_whole() -> None:
    kept = b"D" + b"5629499534213125" + b"%016d" % 41 + b"%016d" % 1_700_000_000_500_000 + b"1" + b"000003" + b"+why"
    found = record([b"a", b"k", b"5629499534213125", kept, None, None, stored(message("a"))], 0, 1)
    assert (found.state, found.token, found.crashes, found.reason) == ("DEAD", 41, 3, "why")
    assert (found.changed, found.message, found.cursor) == (1_700_000_000.5, message("a"), 5629499534213125 % (1 << 49))


def test_cursors_of_partitions_are_never_equal() -> None:
    row = [b"a", b"f", b"5629499534213125", None, None, None, stored(message("a"))]
    assert len({record(row, partition, 4).cursor for partition in range(4)}) == 4


def test_a_record_of_bytes_that_are_no_message_has_the_bytes() -> None:
    value = stored(message("a"), b"\xc1")
    found = record([b"a", b"f", b"5629499534213125", None, None, None, value], 0, 1)
    assert (found.message, found.raw, found.queue) == (None, b"\xc1", "celery")
    assert pack(message("a")) == stored(message("a"))[2 + len(b"0\x06celeryproj.add") :]


@pytest.mark.parametrize(
    ("found", "advice"), [(None, "celeriac db upgrade"), (b"99", "upgrade"), (b"0", "prefix"), (b"x", "prefix")]
)
def test_verify_says_what_to_do(found: bytes | None, advice: str) -> None:
    verify = WHOLE.verify()
    next(verify)
    with pytest.raises(SchemaError, match=advice):
        verify.send(found)


def test_pages_look_through_a_bounded_number_of_owned_messages_at_once() -> None:
    holders = [b"o:w1", b"w1", 1500, b"o:w2", b"w2", 1500, b"x:5", None, 10]
    asked, found = drive(WHOLE.page(["STARTED"], None, 0, 5), holders, [], [])
    assert found == []
    assert [script.args[5:] for script in asked[1:]] == [(b"o:w1", b"w1"), (b"o:w2", b"w2", b"x:5", b"")]
