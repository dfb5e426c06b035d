"""Keys: how a setting says them, and what they must be like.

Guarantee: no error and no ``repr`` shows a key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from celeriac.errors import ImproperlyConfigured

KEY_BYTES: Final = 32
"""Bytes of an encryption key (AES-256), and the fewest of a signing key (RFC 2104 advises the digest's length)."""
MOST_BYTES: Final = 1024
HOW_TO_MAKE: Final = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")

KeyRing: TypeAlias = Mapping[str, bytes]
"""Keys by id. The first writes, all read."""


class KeySource(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Where one key comes from.

    Attributes:
        id: What a seal says to name it.
        kind: ``value``: ``text`` is the key in base64. ``file``, ``env``: ``text`` names a file or a variable with it.
        text: See above.
    """

    id: str
    kind: Literal["value", "file", "env"]
    text: str

    def __repr__(self) -> str:
        return f"KeySource(id={self.id!r}, kind={self.kind!r})"


def key_sources(value: object) -> tuple[KeySource, ...]:
    """Return what a setting says about keys, in its order.

    Args:
        value: ``{id: key}``, pairs of the two, or text ``"id=key,id=key"``. A key is 32 bytes as base64 text (or as
            bytes), ``file:/path`` or ``env:NAME``.

    Raises:
        ValueError: With what was expected.
    """
    found: dict[str, KeySource] = {}
    for name, key in _pairs(value):
        if not isinstance(name, str) or _ID.fullmatch(name) is None:
            raise ValueError("a dictionary from key ids (letters, digits, '.', '_', '-', at most 40) to keys")
        if name in found:
            raise ValueError(f"a dictionary with each key id once, and {name!r} stands there twice")
        found[name] = _source(name, key)
    if not found:
        raise ValueError("a dictionary with at least one key; leave the setting out for none")
    return tuple(found.values())


def key_bytes(source: KeySource, text: str, *, setting: str, exact: bool) -> bytes:
    """Return the key that ``text`` says.

    Args:
        source: Where it came from, for the error.
        text: The key in base64, with or without its padding, in either alphabet; white space around it is dropped.
        setting: The setting's name, for the error.
        exact: It must have exactly :data:`KEY_BYTES`; else at least so many.

    Raises:
        ImproperlyConfigured: It is not base64, or has another length. The text does not show the key.
    """
    what = f"setting {setting}: key {source.id!r}" + (f" ({source.kind}:{source.text})" * (source.kind != "value"))
    try:
        key = _decoded(text.strip())
    except ValueError:
        raise ImproperlyConfigured(f"{what} is not base64; make a key with: {HOW_TO_MAKE}") from None
    if len(key) > MOST_BYTES or (len(key) != KEY_BYTES if exact else len(key) < KEY_BYTES):
        wanted = "exactly" if exact else "at least"
        raise ImproperlyConfigured(
            f"{what} has {len(key)} bytes and must have {wanted} {KEY_BYTES}; make one with: {HOW_TO_MAKE}"
        )
    return key


def _pairs(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return list(cast("Mapping[object, object]", value).items())
    if isinstance(value, str):
        parts = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if all(separator for _, separator, _ in parts):
            return [(name.strip(), key.strip()) for name, _, key in parts]
    elif isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        if items and all(isinstance(item, KeySource) for item in items):
            return [(item.id, item) for item in items]
        if all(isinstance(item, (list, tuple)) and len(cast("list[Any]", item)) == 2 for item in items):
            return [(item[0], item[1]) for item in items]
    raise ValueError(
        "a dictionary from key ids to keys, the one to write with first, or such text as"
        " '2026-11=env:NEW,2026-05=file:old.key',"
    )


def _source(name: str, key: object) -> KeySource:
    if isinstance(key, KeySource):
        return key
    if isinstance(key, (bytes, bytearray)):
        return KeySource(name, "value", base64.urlsafe_b64encode(key).decode())
    if isinstance(key, str) and key.strip():
        kind, separator, rest = key.partition(":")
        if not separator:
            return KeySource(name, "value", key)
        if kind in ("file", "env") and rest:
            return KeySource(name, "file" if kind == "file" else "env", rest)
    raise ValueError(f"a dictionary in which key {name!r} is base64 text, bytes, 'file:/path' or 'env:NAME'")


def _decoded(text: str) -> bytes:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError from None
