"""Messages are small frozen values, and what a broker cannot keep is refused with a sentence."""

import math

import msgspec
import pytest

from celeriac.core.ids import MAX_ID_BYTES
from celeriac.core.message import (
    MAX_PRIORITY,
    MAX_QUEUE_BYTES,
    Delivery,
    Lease,
    Message,
    Place,
    Settlement,
    Start,
    StoredResult,
    check,
    pack,
    pack_result,
    unpack,
    unpack_result,
)
from celeriac.core.seal import Seal
from celeriac.errors import DecodeError, InvalidTaskError

EVERY_FIELD = Message(
    id="210fdd79",
    task="proj.add",
    queue="fast",
    body=b"\x93\x00\xff",
    content_type="application/x-msgpack",
    content_encoding="binary",
    compression="application/zstd",
    priority=7,
    eta=1_795_000_000.123456,
    expires=1_795_000_060.5,
    retries=3,
    timelimit=(10.0, None),
    ignore_result=True,
    lang="go",
    shadow="shown",
    root_id="root",
    parent_id="parent",
    group="group",
    group_index=4,
    argsrepr="(2, 'ö')",
    kwargsrepr="{}",
    origin="gen1@host",
    replaced_task_nesting=2,
    stamped_headers=("mid",),
    stamps={"mid": ["abc", 1]},
    headers={"x-custom": {"deep": [1, 2.5, None, True, b"\x00"]}},
    correlation_id="corr",
    reply_to="ae3efaef",
    delivery_mode=1,
    exchange="news",
    routing_key="sport",
    sent_at=1_794_999_999.25,
    workflow="wf",
    place=Place(1, 2, 3, [[4], -1], True, 5.0, 6.0),
    node="n/1",
    parked_at=1_795_000_001.0,
    seal=Seal(1_795_000_002.0, b"n" * 16, "signer", "cipher", b"m" * 32),
)


def test_the_example_sets_every_field() -> None:
    default = Message(id="", task="")
    same = [name for name in Message.__struct_fields__ if getattr(default, name) == getattr(EVERY_FIELD, name)]
    assert same == []


def test_every_field_survives_packing() -> None:
    assert unpack(pack(EVERY_FIELD)) == EVERY_FIELD


def test_defaults_cost_no_bytes() -> None:
    assert len(pack(Message(id="x", task="t"))) < 20


def test_a_message_of_a_newer_release_is_read_without_its_new_fields() -> None:
    data = msgspec.msgpack.encode({"id": "x", "task": "t", "a_field_of_tomorrow": [1]})
    assert unpack(data) == Message(id="x", task="t")


@pytest.mark.parametrize("kind", [Message, Lease, Delivery, Settlement, Start, StoredResult])
def test_values_are_frozen(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_default_containers_are_not_shared() -> None:
    first, second = Message(id="a", task="t"), Message(id="b", task="t")
    assert first.headers is not second.headers
    assert first.stamps is not second.stamps


def test_a_result_survives_packing() -> None:
    result = StoredResult(
        id="x",
        state="FAILURE",
        body=b"\xff\x00",
        content_type="application/x-msgpack",
        content_encoding="binary",
        traceback="Traceback …",
        children=("a", "b"),
        date_done=1_795_000_000.5,
        task="t",
        args="(1,)",
        kwargs="{}",
        worker="w@h",
        queue="q",
        retries=2,
        parent_id="p",
        root_id="r",
        group="g",
        runtime=0.25,
        expires=1_795_086_400.0,
        reply_to="letterbox",
        log="a line",
        seal=Seal(1_795_000_002.0, b"n" * 16),
    )
    default = StoredResult(id="", state="")
    assert [n for n in StoredResult.__struct_fields__ if getattr(default, n) == getattr(result, n)] == []
    assert unpack_result(pack_result(result)) == result


LONGEST = "ö" * (MAX_ID_BYTES // 2)


@pytest.mark.parametrize(
    "message",
    [
        Message(id="x", task="t"),
        Message(id=LONGEST, task="t"),
        Message(id="a/b c\n'\"%{}*", task="t"),
        Message(id="x", task="t", queue="q" * MAX_QUEUE_BYTES),
        Message(id="x", task="t", priority=MAX_PRIORITY),
        Message(id="x", task="t", eta=0.0, expires=-1.0),
        EVERY_FIELD,
    ],
)
def test_check_returns_what_a_broker_can_keep(message: Message) -> None:
    assert check(message) is message


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message(id="", task="proj.add"), "task_id of task 'proj.add' must not be empty"),
        (Message(id=LONGEST + "o", task="proj.add"), "'proj.add' must have 1 to 200 bytes"),
        (Message(id="x" * 10_000_000, task="proj.add"), "'proj.add' must have 1 to 200 bytes"),
        (Message(id="\ud800", task="proj.add"), "'proj.add' must have 1 to 200 bytes in UTF-8"),
        (Message(id="x", task="t", queue=""), "queue '' must have 1 to 200 bytes"),
        (Message(id="x", task="t", queue="ö" * 101), "must have 1 to 200 bytes in UTF-8"),
        (Message(id="x", task="t", queue="\udfff"), "must have 1 to 200 bytes in UTF-8"),
        (Message(id="x", task="proj.add", priority=10), "priority 10 of task 'proj.add' must be .* 0 to 9"),
        (Message(id="x", task="proj.add", priority=-1), "priority -1 of task 'proj.add'"),
        (Message(id="x", task="proj.add", priority=True), "priority True of task 'proj.add'"),
        (Message(id="x", task="proj.add", priority=1.0), "priority 1.0 of task 'proj.add'"),  # type: ignore[arg-type]
        (Message(id="x", task="proj.add", eta=math.nan), "eta nan of task 'proj.add' must be a finite"),
        (Message(id="x", task="proj.add", expires=math.inf), "expires inf of task 'proj.add' must be a finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_check_refuses_the_rest_and_says_why(message: Message, text: str) -> None:
    with pytest.raises(InvalidTaskError, match=text) as caught:
        check(message)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("read", [unpack, unpack_result])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"null",
        b'{"id": "x", "task": "t"}',
        b"\x80\x04\x95",
        b"\x81\xa2id\xa2\xff\xfe",
        b"\xdf\xff\xff\xff\xff",
        b"\x83\xa2id\xa1x\xa4task\xa1t\xa7headers\xdf\xff\xff\xff\xff",
        b"\x83\xa2id\xa1x\xa4task\xa1t\xa7headers" + b"\x81\xa1a" * 100_000 + b"\xc0",
        b"\x84\xa2id\xa1x\xa4task\xa1t\xa5state\xa1s\xa8children" + b"\x91" * 100_000,
        b"\x83\xa2id\xa1x\xa4task\xa1t\xa5state\xa1s" + b"x",
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_bytes_that_are_no_value_give_a_decode_error_with_their_number(read: object, data: bytes) -> None:
    assert callable(read)
    with pytest.raises(DecodeError, match=f"these {len(data)} bytes are not a "):
        read(data)
