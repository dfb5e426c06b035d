"""Whatever an attacker does to the bytes of something sealed: it is refused, or nothing was changed."""

import os
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from celeriac.core.message import Message, Place, StoredResult, pack, pack_result, unpack, unpack_result
from celeriac.core.security import MESSAGE, RESULT, Guard
from celeriac.errors import DecodeError, SecurityError

SIGNING, ENCRYPTION = {"s": os.urandom(32)}, {"e": os.urandom(32)}
GUARDS = {
    "signed": Guard(signing=SIGNING, encryption={}),
    "encrypted": Guard(signing={}, encryption=ENCRYPTION),
    "both": Guard(signing=SIGNING, encryption=ENCRYPTION),
}
guards = pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)

texts = st.text(max_size=20).filter(lambda text: "\x00" not in text)
names = texts.filter(bool)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
times = st.none() | st.floats(0, 1e12)
messages = st.builds(
    Message,
    id=names,
    task=names,
    queue=names,
    body=st.binary(max_size=60),
    priority=st.integers(0, 9),
    eta=times,
    expires=times,
    retries=st.integers(0, 9),
    timelimit=st.none() | st.tuples(times, times),
    ignore_result=st.none() | st.booleans(),
    headers=st.dictionaries(texts, plain, max_size=3),
    argsrepr=st.none() | texts,
    root_id=st.none() | names,
    sent_at=times,
    workflow=st.none() | names,
    place=st.none() | st.builds(Place, st.integers(0, 9), st.integers(0, 9), takes=st.none() | st.integers(-1, 9)),
    parked_at=times,
)
results = st.builds(
    StoredResult,
    id=names,
    state=names,
    body=st.binary(max_size=60),
    traceback=st.none() | texts,
    children=st.lists(names, max_size=3).map(tuple),
    args=st.none() | texts,
    expires=times,
)


@guards
@settings(max_examples=40)
@given(messages)
def test_a_message_comes_back_through_bytes_as_it_was(guard: Guard, message: Message) -> None:
    assert guard.open(MESSAGE, unpack(pack(guard.seal(MESSAGE, message, 1.0)))) == message


@guards
@settings(max_examples=40)
@given(results)
def test_a_result_comes_back_through_bytes_as_it_was(guard: Guard, result: StoredResult) -> None:
    assert guard.open(RESULT, unpack_result(pack_result(guard.seal(RESULT, result, 1.0)))) == result


def _refused(guard: Guard, subject: Any, sealed: Any, changed: bytes, read: Any) -> None:
    """Pass if these bytes are refused, or say the very same as the sealed value."""
    try:
        found = read(changed)
    except DecodeError:
        return
    if found == sealed:
        return  # Another spelling of the same value: nothing was changed.
    try:
        opened = guard.open(subject, found)
    except SecurityError:
        return
    raise AssertionError(f"{found} was accepted, as {opened}")


@guards
@settings(max_examples=40)
@given(message=messages, data=st.data())
def test_no_changed_byte_of_a_message_is_accepted(guard: Guard, message: Message, data: st.DataObject) -> None:
    sealed = guard.seal(MESSAGE, message, 1.0)
    packed = bytearray(pack(sealed))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    _refused(guard, MESSAGE, sealed, bytes(packed), unpack)


@guards
@settings(max_examples=40)
@given(result=results, data=st.data())
def test_no_changed_byte_of_a_result_is_accepted(guard: Guard, result: StoredResult, data: st.DataObject) -> None:
    sealed = guard.seal(RESULT, result, 1.0)
    packed = bytearray(pack_result(sealed))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    _refused(guard, RESULT, sealed, bytes(packed), unpack_result)


@guards
def test_no_byte_of_one_message_can_be_changed_at_all(guard: Guard) -> None:
    """Each byte, each bit."""
    message = Message(id="1", task="t", body=b"[[1],{},null]", eta=5.0, headers={"a": 1}, argsrepr="(1,)")
    sealed = guard.seal(MESSAGE, message, 1.0)
    packed = pack(sealed)
    for place in range(len(packed)):
        for bit in range(8):
            changed = bytearray(packed)
            changed[place] ^= 1 << bit
            _refused(guard, MESSAGE, sealed, bytes(changed), unpack)


@guards
@settings(max_examples=40)
@given(messages, messages, st.sampled_from(Message.__struct_fields__))
@example(Message(id="1", task="t"), Message(id="1", task="t"), "body")
def test_no_field_of_one_message_can_stand_in_another(guard: Guard, one: Message, two: Message, field: str) -> None:
    first, second = guard.seal(MESSAGE, one, 1.0), guard.seal(MESSAGE, two, 2.0)
    mixed = msgspec.structs.replace(first, **{field: getattr(second, field)})
    if mixed != second:  # Where both say the same, the seal of one is as good as the other's.
        _refused(guard, MESSAGE, first, pack(mixed), unpack)


@guards
@settings(max_examples=40)
@given(results, results, st.sampled_from(StoredResult.__struct_fields__))
def test_no_field_of_one_result_can_stand_in_another(
    guard: Guard, one: StoredResult, two: StoredResult, field: str
) -> None:
    first, second = guard.seal(RESULT, one, 1.0), guard.seal(RESULT, two, 2.0)
    mixed = msgspec.structs.replace(first, **{field: getattr(second, field)})
    if mixed != second:
        _refused(guard, RESULT, first, pack_result(mixed), unpack_result)
