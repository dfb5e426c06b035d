"""The guard: what it seals it opens, and nothing else."""

import base64
import builtins
from typing import Any

import msgspec
import pytest

from celeriac.brokers.port import Command, CommandReply
from celeriac.core.message import Message, StoredResult, pack, unpack
from celeriac.core.seal import SEALED_TYPE, Seal
from celeriac.core.security import COMMAND, MARK, MESSAGE, REPLY, RESULT, Guard
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, SecurityError

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
SIGNED = Guard(signing={"new": NEW, "old": OLD}, encryption={})
ENCRYPTED = Guard(signing={}, encryption={"new": NEW, "old": OLD})
BOTH = Guard(signing={"new": NEW}, encryption={"new": NEW})
GUARDS = {"signed": SIGNED, "encrypted": ENCRYPTED, "both": BOTH}

SECRET = "hunter2"
THINGS: list[tuple[Any, Any]] = [
    (
        MESSAGE,
        Message(
            id="1", task="t", body=f'[["{SECRET}"],{{}},null]'.encode(), argsrepr=f"('{SECRET}',)", kwargsrepr="{}"
        ),
    ),
    (
        RESULT,
        StoredResult(id="1", state="SUCCESS", body=f'"{SECRET}"'.encode(), args=f"('{SECRET}',)", traceback=SECRET),
    ),
    (MARK, StoredResult(id="seal:1", state="RENEWED", body=b"")),
    (COMMAND, Command(id="c", name="revoke", arguments={"ids": [SECRET]})),
    (REPLY, CommandReply("c", "w@h", {"args": SECRET})),
]
each_guard = pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
each_thing = pytest.mark.parametrize(("subject", "value"), THINGS, ids=[subject.label for subject, _ in THINGS])


@each_guard
@each_thing
def test_what_was_sealed_opens_to_what_it_was(guard: Guard, subject: Any, value: Any) -> None:
    sealed = guard.seal(subject, value, 5.0)
    assert sealed.seal.at == 5.0
    assert guard.open(subject, sealed) == value
    assert guard.seal(subject, value, 5.0).seal.nonce != sealed.seal.nonce


@pytest.mark.parametrize("guard", [ENCRYPTED, BOTH], ids=["encrypted", "both"])
@each_thing
def test_encryption_hides_what_only_tasks_and_callers_need(guard: Guard, subject: Any, value: Any) -> None:
    sealed = guard.seal(subject, value, 5.0)
    assert SECRET.encode() not in msgspec.msgpack.encode(sealed)
    if subject in (MESSAGE, RESULT):
        assert sealed.content_type == SEALED_TYPE


@each_guard
@each_thing
def test_what_is_not_sealed_is_refused_unless_it_need_not_be(guard: Guard, subject: Any, value: Any) -> None:
    with pytest.raises(SecurityError, match=r"not (signed|encrypted).*security_required=False"):
        guard.open(subject, value)
    lax = Guard(signing={"new": NEW}, encryption={}, required=False)
    assert lax.open(subject, value) == value


@each_guard
def test_one_kind_cannot_pass_for_another(guard: Guard) -> None:
    result = StoredResult(id="seal:1", state="RENEWED", body=b"")
    with pytest.raises(SecurityError, match="was changed"):
        guard.open(MARK, guard.seal(RESULT, result, 5.0))
    with pytest.raises(SecurityError, match="was changed"):
        guard.open(RESULT, guard.seal(MARK, result, 5.0))


@pytest.mark.parametrize("kind", ["signing", "encryption"])
def test_keys_are_rotated_without_a_gap(kind: str) -> None:
    def guard(**ring: bytes) -> Guard:
        return Guard(signing=ring if kind == "signing" else {}, encryption=ring if kind == "encryption" else {})

    message = Message(id="1", task="t")
    before, between, after = guard(old=OLD), guard(new=NEW, old=OLD), guard(new=NEW)
    assert between.open(MESSAGE, before.seal(MESSAGE, message, 1.0)) == message
    sealed = between.seal(MESSAGE, message, 1.0)
    assert after.open(MESSAGE, sealed) == message
    with pytest.raises(SecurityError, match="with key 'old', which is not among security_"):
        after.open(MESSAGE, before.seal(MESSAGE, message, 1.0))
    # The same id for another key is another key.
    with pytest.raises(SecurityError, match="was changed"):
        guard(new=OTHER).open(MESSAGE, sealed)


def test_what_is_demanded_follows_from_the_readers_keys() -> None:
    """Nothing that a seal says of itself can talk a reader down."""
    message = Message(id="1", task="t")
    signed, encrypted = SIGNED.seal(MESSAGE, message, 1.0), ENCRYPTED.seal(MESSAGE, message, 1.0)
    with pytest.raises(SecurityError, match="not encrypted"):
        BOTH.open(MESSAGE, signed)
    with pytest.raises(SecurityError, match="not signed"):
        BOTH.open(MESSAGE, encrypted)
    with pytest.raises(SecurityError, match="not signed"):
        SIGNED.open(MESSAGE, encrypted)
    both = BOTH.seal(MESSAGE, message, 1.0)
    with pytest.raises(SecurityError, match="not among security_encryption_keys"):
        SIGNED.open(MESSAGE, both)
    # Encryption alone proves who sent it, so that senders can begin to sign before workers check.
    assert ENCRYPTED.open(MESSAGE, both) == message


@each_guard
@pytest.mark.parametrize(
    "change",
    [
        {"signer": None},
        {"signer": None, "mac": b""},
        {"cipher": None},
        {"signer": None, "cipher": None, "mac": b""},
        {"signer": "nobody"},
        {"cipher": "nobody"},
        {"signer": "old"},
        {"cipher": "old"},
        {"version": 0},
        {"version": 2},
        {"at": 9.0},
        {"nonce": b""},
        {"nonce": b"n" * 16},
        {"mac": b"m" * 32},
    ],
    ids=repr,
)
def test_no_change_of_the_seal_is_accepted(guard: Guard, change: dict[str, Any]) -> None:
    sealed = guard.seal(MESSAGE, Message(id="1", task="t"), 5.0)
    assert sealed.seal is not None
    changed = msgspec.structs.replace(sealed.seal, **change)
    if changed == sealed.seal or (guard is ENCRYPTED and change.keys() == {"mac"}):
        return  # That is no change, or none of a part that says anything: encryption has a tag of its own.
    with pytest.raises(SecurityError):
        guard.open(MESSAGE, msgspec.structs.replace(sealed, seal=changed))


@each_guard
def test_a_stripped_seal_is_refused(guard: Guard) -> None:
    sealed = guard.seal(MESSAGE, Message(id="1", task="t"), 5.0)
    with pytest.raises(SecurityError, match="is not "):
        guard.open(MESSAGE, msgspec.structs.replace(sealed, seal=None))


@each_guard
def test_odd_headers_survive_the_way_through_bytes(guard: Guard) -> None:
    headers = {"n": -0.0, "inf": float("inf"), "tuple": (1, (2,)), "bytes": b"\xff", "big": 2**64 - 1, "ö": {"": None}}
    sealed = guard.seal(MESSAGE, Message(id="1", task="t", headers=headers, eta=5, stamps={"a": [1]}), 5.0)
    opened = guard.open(MESSAGE, unpack(pack(sealed)))
    assert opened.headers == {**headers, "tuple": [1, [2]]}
    assert opened == guard.open(MESSAGE, sealed)


@each_guard
def test_what_cannot_be_packed_cannot_be_sealed_and_says_so(guard: Guard) -> None:
    for bad in (object(), 2**70, "\ud800"):
        with pytest.raises(InvalidTaskError, match="cannot be sealed"):
            guard.seal(MESSAGE, Message(id="1", task="t", headers={"x": bad}), 5.0)
        with pytest.raises(InvalidTaskError, match="cannot be sent: a header"):
            pack(Message(id="1", task="t", headers={"x": bad}))


def test_the_place_of_a_command_is_not_covered_because_the_store_gives_it() -> None:
    sealed = BOTH.seal(COMMAND, Command(id="c", name="ping"), 5.0)
    assert BOTH.open(COMMAND, msgspec.structs.replace(sealed, cursor=9)).cursor == 9
    with pytest.raises(SecurityError):
        BOTH.open(COMMAND, msgspec.structs.replace(sealed, arguments={"encrypted": "text"}))
    with pytest.raises(SecurityError):
        BOTH.open(COMMAND, msgspec.structs.replace(sealed, arguments={}))


def test_without_the_package_encryption_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'celeriac\[crypto\]'"):
        Guard(signing={}, encryption={"a": NEW})
    Guard(signing={"a": NEW}, encryption={})


def test_the_form_of_seals_does_not_change_unnoticed() -> None:
    """What an older release signed must open; version 1 is this."""
    seal = Seal(1.5, bytes(16), "new", None, base64.b16decode(PINNED), 1)
    message = Message(id="1", task="t", headers={"a": 1}, eta=7.0, seal=seal)
    assert SIGNED.open(MESSAGE, message) == msgspec.structs.replace(message, seal=None)


PINNED = b"FB91904CFA299C7EBA71F69364FE0B3975BFA3417CC9FBEFDF0201B4C5F93B2B"
