"""What lies in a store is read, or is nothing: whatever the bytes, one record harms no other."""

from __future__ import annotations

import msgspec
import pytest

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.brokers.rules import delivery, opened, opened_command, opened_reply, opened_worker, queues_of
from celeriac.core.message import Lease, Message, pack

DEEP = b"\x91" * 100_000
encode = msgspec.msgpack.encode


def test_a_message_under_another_id_is_none() -> None:
    payload = pack(Message(id="victim", task="t"))
    assert opened(payload, "victim") == Message(id="victim", task="t")
    assert opened(payload, "other") is None
    found = delivery(payload, Lease("other", "w", 1))
    assert (found.message, found.raw) == (None, payload)


def test_a_message_that_would_be_retried_for_ever_is_none() -> None:
    assert opened(encode({"id": "a", "task": "t", "retries": -(2**31)}), "a") is None


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", DEEP, encode({"arguments": {"a": msgspec.Raw(DEEP)}}), "text", 5, None]
)
def test_what_cannot_be_read_is_nothing(payload: bytes) -> None:
    assert opened(payload, "a") is None
    assert opened_command(payload, 1) is None
    assert opened_reply(payload) is None
    assert opened_worker(payload, 1.0) is None


def test_what_can_be_read_is_completed() -> None:
    assert opened_command(encode(Command(id="c", name="ping")), 7) == Command(id="c", name="ping", cursor=7)
    assert opened_reply(encode(CommandReply("c", "w", 1))) == CommandReply("c", "w", 1)
    record = WorkerRecord(name="w", info={"queues": ["q", 5]})
    assert opened_worker(encode(record), -1.0) == record
    assert queues_of(record) == ("q",)
