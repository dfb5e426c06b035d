"""Seals and opens: a signature over everything, and a cipher over what only tasks and their callers need to see.

A seal covers each field of what it is on, with a word for the kind of thing, so that nothing can be changed, moved to
another id, or passed off as something else. Algorithms are fixed by the seal's version. What the reader demands follows
from the reader's own keys, never from what a seal says of itself.

Each thing is encrypted under a key of its own, derived from the app's key and the seal's 128 random bits, so that the
number of messages under one key of the app has no practical bound (random nonces of AES-GCM alone, 96 bits, may be used
2^32 times: NIST SP 800-38D, section 8.3).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from celeriac.core.message import Message, StoredResult
from celeriac.core.scheduled import StoredEntry
from celeriac.core.seal import SEALED_TYPE, Seal
from celeriac.core.security.ciphers import AesGcm
from celeriac.core.security.keys import KeyRing
from celeriac.errors import InvalidTaskError, SecurityError

VERSION: Final = 1
NONCE_BYTES: Final = 16

T = TypeVar("T", bound=msgspec.Struct)

_pack: Final = msgspec.msgpack.Encoder().encode


class Subject(msgspec.Struct, Generic[T], frozen=True):
    """One kind of thing that is sealed.

    Attributes:
        label: What tells it from all other kinds, for ever.
        hidden: The fields that encryption hides, with what stands in their place. The first is where the encrypted
            bytes go.
        decode: Reads the values of these fields; checks their types.
        loose: Fields that a store may change.
        wrap: Returns what the first field gets, for the encrypted bytes.
        unwrap: Returns the encrypted bytes from that; raises ValueError or TypeError where there are none.
    """

    label: str
    hidden: dict[str, Any]
    decode: Callable[[bytes], tuple[Any, ...]]
    loose: dict[str, Any] = {}
    wrap: Callable[[bytes], Any] = bytes
    unwrap: Callable[[Any], bytes] = bytes


def _reader(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(kind).decode


def _from_arguments(arguments: Any) -> bytes:
    (name, data), *more = arguments.items()
    if name != "encrypted" or more or not isinstance(data, bytes):
        raise ValueError
    return data


MESSAGE: Final[Subject[Message]] = Subject(
    "message",
    {
        "body": b"",
        "content_type": SEALED_TYPE,
        "content_encoding": "binary",
        "compression": None,
        "argsrepr": None,
        "kwargsrepr": None,
    },
    _reader(tuple[bytes, str, str, str | None, str | None, str | None]),
)
RESULT: Final[Subject[StoredResult]] = Subject(
    "result",
    {
        "body": b"",
        "content_type": SEALED_TYPE,
        "content_encoding": "binary",
        "traceback": None,
        "args": None,
        "kwargs": None,
        "log": None,
    },
    _reader(tuple[bytes, str, str, str | None, str | None, str | None, str | None]),
)
ENTRY: Final[Subject[StoredEntry]] = Subject(
    "schedule entry", {"body": b""}, _reader(tuple[bytes]), loose={"due": None, "state": b""}
)
MARK: Final[Subject[StoredResult]] = Subject("mark", {"body": b""}, _reader(tuple[bytes]))
COMMAND: Final[Subject[Any]] = Subject(
    "command",
    {"arguments": {}},
    _reader(tuple[dict[str, Any]]),
    loose={"cursor": 0},
    wrap=lambda data: {"encrypted": data},
    unwrap=_from_arguments,
)
REPLY: Final[Subject[Any]] = Subject("reply", {"value": None}, _reader(tuple[Any]))


_CHANGED: Final = "it was changed, or that key has another value here"


class Guard:
    """Seals what goes out and opens what comes in, under an app's keys.

    Args:
        signing: Keys that sign; empty for none.
        encryption: Keys that encrypt; empty for none.
        required: Refuse what is not sealed. False accepts it, while an app is being changed over; what is sealed is
            checked all the same.
        window: Seconds for which a message may wait before it is run; older ones are refused, because nobody remembers
            whether they ran. None: messages of any age are accepted, and can be replayed.

    Raises:
        ImproperlyConfigured: There are encryption keys, and no package ``cryptography``.
    """

    def __init__(
        self, *, signing: KeyRing, encryption: KeyRing, required: bool = True, window: float | None = 86400.0
    ) -> None:
        self.required = required
        self.window = window
        # A key that stands in both settings must not be the same key to both algorithms.
        self._signing = {id: hmac.digest(key, b"celeriac signing 1", "sha256") for id, key in signing.items()}
        self._encryption = {id: hmac.digest(key, b"celeriac encryption 1", "sha256") for id, key in encryption.items()}
        self._signer = next(iter(self._signing), None)
        self._encrypter = next(iter(self._encryption), None)
        self._cipher = AesGcm() if encryption else None

    def __repr__(self) -> str:
        return f"<Guard: signs with {self._signer}, encrypts with {self._encrypter}, required={self.required}>"

    def seal(self, subject: Subject[T], value: T, now: float) -> T:
        """Return ``value`` with a new seal; one that it has already is replaced.

        Raises:
            InvalidTaskError: A field holds what cannot be encoded.
        """
        seal = Seal(now, os.urandom(NONCE_BYTES), self._signer, self._encrypter, b"", VERSION)
        try:
            if subject.loose or _seal_of(value) is not None:
                value = msgspec.structs.replace(value, seal=None, **subject.loose)
            value = _as_it_arrives(value)
            if self._encrypter is not None:
                value = self._hide(subject, value, seal)
            if self._signer is not None:
                mac = hmac.digest(self._signing[self._signer], _covered(subject, value, seal), "sha256")
                seal = Seal(now, seal.nonce, self._signer, self._encrypter, mac, VERSION)
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise InvalidTaskError(f"this {subject.label} cannot be sealed: {exc}") from exc
        return msgspec.structs.replace(value, seal=seal)

    def open(self, subject: Subject[T], value: T) -> T:
        """Return ``value`` as it was before it was sealed.

        Raises:
            SecurityError: It is not sealed as this app's keys demand, or not what was sealed. The text says why.
        """
        seal = _seal_of(value)
        if seal is None:
            if self.required:
                raise SecurityError(
                    f"the {subject.label} is not {self._demand()}, and this app has keys"
                    " (setting security_required=False accepts such while senders are changed over)"
                )
            return value
        if seal.version != VERSION or len(seal.nonce) != NONCE_BYTES:
            raise SecurityError(f"the {subject.label} has a seal of unknown version {seal.version}")
        opened = msgspec.structs.replace(value, seal=None, **subject.loose)
        try:
            self._check_signature(subject, opened, seal)
            opened = self._show(subject, opened, seal)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as exc:
            raise SecurityError(f"the {subject.label} cannot be checked: {exc}") from exc
        if not subject.loose:
            return opened
        return msgspec.structs.replace(opened, **{name: getattr(value, name) for name in subject.loose})

    def _demand(self) -> str:
        return " and ".join(["signed"] * bool(self._signing) + ["encrypted"] * bool(self._encryption))

    def _check_signature(self, subject: Subject[T], value: T, seal: Seal) -> None:
        if seal.signer is None:
            if self._signing and self.required:
                raise SecurityError(f"the {subject.label} is not signed, and this app has security_signing_keys")
            if not self._encryption:
                raise SecurityError(f"the {subject.label} has a seal without a signature")
            if seal.mac:
                raise SecurityError(f"the {subject.label} has a signature by no key")
            return
        key = self._signing.get(seal.signer)
        if key is None:
            # Where encryption is demanded its tag proves as much as a signature, so that one can be added to the other.
            if self._signing or seal.cipher is None:
                raise SecurityError(
                    f"the {subject.label} is signed with key {seal.signer[:40]!r}, which is not among"
                    " security_signing_keys"
                )
            return
        if not hmac.compare_digest(seal.mac, hmac.digest(key, _covered(subject, value, seal), "sha256")):
            raise SecurityError(f"the {subject.label} is not what key {seal.signer!r} signed: {_CHANGED}")

    def _hide(self, subject: Subject[T], value: T, seal: Seal) -> T:
        secret = _pack(tuple([getattr(value, name) for name in subject.hidden]))
        bare = msgspec.structs.replace(value, seal=None, **subject.hidden)
        data = self._seal_bytes(secret, _covered(subject, bare, seal), seal)
        return msgspec.structs.replace(bare, **{_carrier(subject): subject.wrap(data)})

    def _seal_bytes(self, secret: bytes, bound: bytes, seal: Seal) -> bytes:
        assert self._cipher is not None
        assert seal.cipher is not None
        key = hmac.digest(self._encryption[seal.cipher], seal.nonce, "sha256")
        return self._cipher.encrypt(key, secret, bound)

    def _show(self, subject: Subject[T], value: T, seal: Seal) -> T:
        if seal.cipher is None:
            if self._encryption and self.required:
                raise SecurityError(f"the {subject.label} is not encrypted, and this app has security_encryption_keys")
            return value
        key = self._encryption.get(seal.cipher)
        if key is None or self._cipher is None:
            raise SecurityError(
                f"the {subject.label} is encrypted with key {seal.cipher[:40]!r}, which is not among"
                " security_encryption_keys"
            )
        changed = f"the {subject.label} is not what key {seal.cipher!r} encrypted: {_CHANGED}"
        try:
            data = subject.unwrap(getattr(value, _carrier(subject)))
        except (TypeError, ValueError, AttributeError):
            raise SecurityError(changed) from None
        # Only the place of the encrypted bytes is emptied: what stands for the other hidden fields is covered.
        carrier = _carrier(subject)
        bare = msgspec.structs.replace(value, **{carrier: subject.hidden[carrier]})
        bound = _covered(subject, bare, seal)
        secret = self._cipher.decrypt(hmac.digest(key, seal.nonce, "sha256"), data, bound)
        if secret is None:
            raise SecurityError(changed)
        values = subject.decode(secret)
        return msgspec.structs.replace(bare, **dict(zip(subject.hidden, values, strict=True)))


def _seal_of(value: Any) -> Seal | None:
    seal: Seal | None = value.seal
    return seal


_decoders: dict[type, Callable[[bytes], Any]] = {}


def _as_it_arrives(value: T) -> T:
    """Return ``value`` as its reader will have it: a tuple in a header is a list there, an eta of 5 is 5.0."""
    kind = type(value)
    decode = _decoders.get(kind)
    if decode is None:
        decode = _decoders[kind] = msgspec.msgpack.Decoder(kind).decode
    arrived: T = decode(_pack(value))
    return arrived


def _carrier(subject: Subject[Any]) -> str:
    return next(iter(subject.hidden))


def _covered(subject: Subject[Any], value: msgspec.Struct, seal: Seal) -> bytes:
    """Return the bytes that a seal covers. MessagePack says where each part ends, so no two values have the same."""
    head = (subject.label, seal.version, seal.at, seal.nonce, seal.signer, seal.cipher)
    return _pack(head) + _pack(value)
