"""Frames: what is written by hand is what pamqp reads, and the other way round, however it is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.properties import told_id
from celeriac.brokers.rabbitmq.requests import Outgoing


def frames(data: bytes) -> list[object]:
    """Return what pamqp reads."""
    found: list[object] = []
    while data:
        size, _, value = frame.unmarshal(data)
        found.append(value)
        data = data[size:]
    return found


@given(st.binary(max_size=300), st.integers(0, 9), st.booleans(), st.sampled_from([None, {"a": 1}]))
def test_what_is_published_is_read_by_others(payload: bytes, priority: int, mandatory: bool, headers: object) -> None:
    message = Outgoing("x", "key", "id", payload, priority, headers, mandatory)  # type: ignore[arg-type]
    publish, head, *parts = frames(b"".join(wire.publish(3, message, 108)))
    assert isinstance(publish, commands.Basic.Publish)
    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("x", "key", mandatory)
    assert isinstance(head, header.ContentHeader)
    properties = head.properties
    assert (head.body_size, properties.message_id, properties.delivery_mode) == (len(payload), "id", 2)
    assert (properties.priority, properties.content_type) == (priority, wire.CONTENT_TYPE)
    assert (properties.headers or None) == headers
    assert b"".join(part.value for part in parts if isinstance(part, body.ContentBody)) == payload


def test_acknowledgements_are_read_by_others() -> None:
    one, many, back, away = frames(
        wire.acks(1, [7]) + wire.acks(1, [9], multiple=True) + wire.nacks(1, [8]) + wire.nacks(1, [6], requeue=False)
    )
    assert isinstance(one, commands.Basic.Ack)
    assert isinstance(many, commands.Basic.Ack)
    assert isinstance(back, commands.Basic.Nack)
    assert isinstance(away, commands.Basic.Nack)
    assert (one.delivery_tag, one.multiple, many.delivery_tag, many.multiple) == (7, False, 9, True)
    assert (back.delivery_tag, back.multiple, back.requeue, away.requeue) == (8, False, True, False)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.integers(1, 50))
def test_messages_come_whole_however_they_are_cut(bodies: list[bytes], size: int) -> None:
    data = b""
    for tag, content in enumerate(bodies, 1):
        deliver = commands.Basic.Deliver("c", tag, tag % 2 == 0, "x", "key")
        properties = commands.Basic.Properties(message_id=f"id{tag}")
        data += frame.marshal(deliver, 2) + frame.marshal(header.ContentHeader(0, len(content), properties), 2)
        data += b"".join(frame.marshal(body.ContentBody(content[n : n + 20]), 2) for n in range(0, len(content), 20))
        data += wire.HEARTBEAT + frame.marshal(commands.Basic.Ack(tag, True), 2)
    reader = wire.Reader()
    events = [event for n in range(0, len(data), size) for event in reader.feed(data[n : n + size])]
    messages = [event for event in events if isinstance(event, wire.Delivered)]
    assert [(one.tag, one.redelivered, one.body) for one in messages] == [
        (tag, tag % 2 == 0, content) for tag, content in enumerate(bodies, 1)
    ]
    assert [told_id(one.properties) for one in messages] == [f"id{tag}" for tag in range(1, len(bodies) + 1)]
    assert [event.tag for event in events if isinstance(event, wire.Confirmed)] == list(range(1, len(bodies) + 1))


@given(st.binary(min_size=8, max_size=100))
def test_anything_else_is_an_error_or_not_yet_complete(data: bytes) -> None:
    try:
        wire.Reader().feed(data)
    except wire.WireError:
        return


@given(st.binary(max_size=60))
def test_no_header_is_too_strange_to_look_for_an_id(head: bytes) -> None:
    told_id(head)
