"""Names of formats: serializers, content types, text encodings.

The content types are those that Celery's peers write and read, so that a message can say what it holds in one
vocabulary. Nothing but ``json`` is read unless the reader's ``accept_content`` names it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from celeriac.core.seal import LOCKED, SEALED_TYPE
from celeriac.errors import ContentDisallowed, DecodeError, ImproperlyConfigured

JSON: Final = "application/json"
MSGPACK: Final = "application/x-msgpack"
PICKLE: Final = "application/x-python-serialize"
YAML: Final = "application/x-yaml"
TEXT: Final = "text/plain"
DATA: Final = "application/data"

SERIALIZERS: Final[Mapping[str, str]] = {
    "json": JSON,
    "msgpack": MSGPACK,
    "pickle": PICKLE,
    "yaml": YAML,
    "text": TEXT,
    "raw": DATA,
}
"""Serializer name to content type."""

INERT: Final = frozenset({TEXT, DATA})
"""Content types that are handed over as they are; reading them cannot do harm, so they need no permission."""

_NAMES: Final = {content_type: name for name, content_type in SERIALIZERS.items()}
_TEXT_ENCODINGS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "latin-1": "latin-1",
    "iso-8859-1": "latin-1",
    "utf-16": "utf-16",
    "utf-32": "utf-32",
    "binary": "utf-8",  # said of text by senders that do not care
    "": "utf-8",
}


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """Bytes, and what a reader must know to read them.

    Attributes:
        body: The bytes, compressed if ``compression`` says so.
        content_type: MIME type of the serializer.
        content_encoding: ``utf-8`` for text formats, ``binary`` for the others.
        compression: MIME type of the compression, or None.
    """

    body: bytes
    content_type: str
    content_encoding: str
    compression: str | None = None


def content_type_of(name: str) -> str:
    """Return the content type for a serializer's name; a known content type is returned as it is.

    Raises:
        ImproperlyConfigured: There is no such serializer.
    """
    found = SERIALIZERS.get(name)
    if found is not None:
        return found
    if name in _NAMES:
        return name
    raise ImproperlyConfigured(f"unknown serializer {name!r}: choose one of {', '.join(SERIALIZERS)}")


def accept_types(names: Iterable[str], *, setting: str = "accept_content") -> frozenset[str]:
    """Return the content types meant by ``names``, each a serializer's name or a content type.

    Args:
        names: As in the setting ``accept_content``: ``["json", "application/x-msgpack"]``.
        setting: The name that an error shall mention.

    Raises:
        ImproperlyConfigured: A name is unknown, or the library that reads the format is not installed.
    """
    if isinstance(names, str):
        raise ImproperlyConfigured(f"{setting} must be a list of serializer names, such as ['json'], not {names!r}")
    accepted: set[str] = set()
    for name in names:
        try:
            content_type = content_type_of(name)
        except (ImproperlyConfigured, TypeError):
            known = ", ".join(SERIALIZERS)
            raise ImproperlyConfigured(
                f"{setting} holds {name!r}, which is no serializer: choose from {known}"
            ) from None
        if content_type == YAML and importlib.util.find_spec("yaml") is None:
            raise ImproperlyConfigured(f"{setting} holds {name!r}, which needs PyYAML: pip install 'celeriac[yaml]'")
        accepted.add(content_type)
    return frozenset(accepted)


def check_accepted(content_type: str, accept: frozenset[str]) -> None:
    """Pass if a reader that accepts ``accept`` may read ``content_type``.

    Raises:
        ContentDisallowed: It may not.
    """
    if content_type in accept or content_type in INERT:
        return
    if content_type == SEALED_TYPE:
        raise ContentDisallowed(LOCKED)
    name = _NAMES.get(content_type)
    if name is None:
        raise ContentDisallowed(f"content type {content_type[:80]!r} is unknown; known are {', '.join(_NAMES)}")
    accepted = ", ".join(sorted(_NAMES.get(one, one) for one in accept)) or "nothing"
    raise ContentDisallowed(
        f"content type {content_type} is refused, because this side accepts {accepted} only: "
        f"add {name!r} to accept_content if you trust every sender"
    )


def check_writable(serializer: str, accept: frozenset[str], *, setting: str = "accept_content") -> None:
    """Pass if those who accept ``accept`` will read what this serializer writes.

    Args:
        serializer: Its name, or a content type.
        accept: Content types, from :func:`accept_types`.
        setting: The setting that ``accept`` comes from, for the error.

    Raises:
        ImproperlyConfigured: They will not, or there is no such serializer. The text continues one that names who said
            so: ``task 'proj.add': serializer='pickle'``.
    """
    content_type = content_type_of(serializer)
    if content_type not in accept and content_type not in INERT:
        accepted = ", ".join(sorted(_NAMES.get(one, one) for one in accept)) or "nothing"
        raise ImproperlyConfigured(
            f"is not in {setting}, which allows {accepted}: add {_NAMES[content_type]!r} to it here and where it is"
            " read, if every sender is to be trusted"
        )


def text_of(body: bytes, content_encoding: str) -> str:
    """Return the text in ``body``.

    Raises:
        DecodeError: The encoding is not one that senders use, or the bytes are not in it.
    """
    encoding = _TEXT_ENCODINGS.get(content_encoding.lower())
    if encoding is None:
        raise DecodeError(f"content encoding {content_encoding[:80]!r} is unknown; use utf-8")
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as exc:
        raise DecodeError(f"the body is not {encoding} text: {exc.reason} at byte {exc.start}") from exc
