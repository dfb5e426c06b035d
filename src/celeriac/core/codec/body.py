"""Encoding and decoding of bodies: a task's ``[args, kwargs, embed]``, a result, or any other value.

Guarantees: what cannot be encoded is named (which argument, where in it, what type); what cannot be decoded raises
:class:`~celeriac.errors.DecodeError` and nothing else, whoever made the bytes; a content type that the reader does not
accept is not looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from celeriac.core.codec.compression import MAX_BYTES, compress, compression_type, decompress
from celeriac.core.codec.content import JSON, SERIALIZERS, Encoded, check_accepted, content_type_of
from celeriac.core.codec.refusal import Refused, explain
from celeriac.core.codec.serializers import TAG_MARK, WRITERS, fast_json, read
from celeriac.core.codec.tags import is_plain
from celeriac.errors import CeleriacError, DecodeError, SerializationError

Args: TypeAlias = Sequence[Any]
Kwargs: TypeAlias = Mapping[str, Any]

NO_EMBED: Final[Mapping[str, Any]] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""What a task carries that nothing follows."""

_SEQUENCES: Final[frozenset[type]] = frozenset({tuple, list})
_NO_EMBED_END: Final = b"," + fast_json(NO_EMBED) + b"]"
_EMBED_TYPES: Final[Mapping[str, type]] = {"callbacks": list, "errbacks": list, "chain": list, "chord": dict}
_Parts: TypeAlias = tuple[list[Any], dict[str, Any], dict[str, Any]]
_read_parts: Final[Callable[[bytes], tuple[list[Any], dict[str, Any], dict[str, Any] | None]]] = msgspec.json.Decoder(
    tuple[list[Any], dict[str, Any], dict[str, Any] | None]
).decode


def encode(
    value: Any, serializer: str = "json", compression: str | None = None, *, subject: str = "the value"
) -> Encoded:
    """Return ``value`` as bytes.

    Args:
        value: What to encode.
        serializer: ``json``, ``msgpack``, ``pickle``, ``yaml``, ``text`` (str only) or ``raw`` (bytes only).
        compression: ``gzip``, ``bzip2``, ``lzma``, ``zstd`` (or another name of these), or None.
        subject: What an error shall call the value, such as ``"the result of task 'proj.add'"``.

    Raises:
        SerializationError: Something in the value cannot be encoded; the error says what, where, and what to do.
        ImproperlyConfigured: The serializer or compression is unknown, or its library is not installed.
    """
    name = serializer if serializer in WRITERS else _serializer_name(serializer)
    write, content_encoding = WRITERS[name]
    try:
        body = write(value)
    except Exception as exc:  # user objects and libraries raise what they like while they are being encoded
        raise _explained(exc, subject, value, serializer=name) from _foreign(exc)
    encoded = Encoded(body, SERIALIZERS[name], content_encoding)
    return encoded if compression is None else _compressed(encoded, compression)


def encode_args(
    args: Args,
    kwargs: Kwargs,
    embed: Kwargs | None = None,
    *,
    serializer: str = "json",
    compression: str | None = None,
    task: str = "",
    parameter_names: Sequence[str] = (),
) -> Encoded:
    """Return ``[args, kwargs, embed]``, the body of a task message.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        embed: What follows the task (``callbacks``, ``errbacks``, ``chain``, ``chord``); None for nothing.
        serializer: As for :func:`encode`.
        compression: As for :func:`encode`.
        task: The task's name, for errors.
        parameter_names: The names of the task's parameters, so that an error can name a positional argument.

    Raises:
        SerializationError: An argument cannot be encoded; the error names it.
        ImproperlyConfigured: As for :func:`encode`.
    """
    if serializer == "json":
        body = plain_body(args, kwargs, embed)
        if body is not None:
            encoded = Encoded(body, JSON, "utf-8")
            return encoded if compression is None else _compressed(encoded, compression)
    parts = (*_checked_arguments(args, kwargs, task=task), dict(NO_EMBED if embed is None else embed))
    try:
        return encode(parts, serializer, compression)
    except SerializationError as exc:
        error: CeleriacError = exc
    # Outside of the except clause, so that a traceback does not show the first error, which says less.
    named = _name_argument(args, kwargs, serializer=serializer, task=task, parameter_names=parameter_names)
    raise (error if named is None else named) from (error if named is None else named).__cause__


def decode(
    body: bytes,
    content_type: str,
    content_encoding: str = "utf-8",
    *,
    compression: str | None = None,
    accept: frozenset[str],
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Return the value in ``body``.

    Args:
        body: The bytes.
        content_type: MIME type, as the message says.
        content_encoding: As the message says.
        compression: MIME type of the compression, as the message says; None for none.
        accept: Content types that may be read, from :func:`~celeriac.core.codec.accept_types`. ``text/plain`` and
            ``application/data`` need no permission: their bytes are handed over as they are.
        max_bytes: The most that a compressed body may unfold to.

    Raises:
        ContentDisallowed: The content type is not in ``accept``.
        DecodeError: Anything else that is wrong with the bytes.
    """
    check_accepted(content_type, accept)
    if compression is not None:
        body = decompress(body, compression, limit=max_bytes)
    return read(body, content_type, content_encoding)


def decode_args(
    body: bytes,
    content_type: str,
    content_encoding: str = "utf-8",
    *,
    compression: str | None = None,
    accept: frozenset[str],
    max_bytes: int = MAX_BYTES,
) -> _Parts:
    """Return (args, kwargs, embed) from the body of a task message.

    A missing embed (null) is returned as an empty dictionary. The parameters are those of :func:`decode`.

    Raises:
        ContentDisallowed: The content type is not in ``accept``.
        DecodeError: The bytes cannot be decoded, or are not a list, a dictionary and a dictionary.
    """
    check_accepted(content_type, accept)
    if compression is not None:
        body = decompress(body, compression, limit=max_bytes)
    if content_type == JSON and content_encoding == "utf-8" and TAG_MARK not in body:
        try:
            args, kwargs, embed = _read_parts(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong in it, or what msgspec does not read, is found out below
        else:
            return (args, kwargs, {} if embed is None else _checked_embed(embed))
    return _checked(read(body, content_type, content_encoding))


def plain_body(args: object, kwargs: object, embed: object = None) -> bytes | None:
    """Return the body of a task message as JSON; None if it takes more than the fast path of :func:`encode_args`."""
    try:
        if type(args) not in _SEQUENCES or type(kwargs) is not dict:
            return None
        if not is_plain(args) or (kwargs and not is_plain(cast("object", kwargs))):
            return None
        if embed is None or embed == NO_EMBED:
            return fast_json((args, kwargs))[:-1] + _NO_EMBED_END
        return fast_json((args, kwargs, embed)) if is_plain(embed) else None
    except (UnicodeEncodeError, ValueError, OverflowError, RecursionError):
        return None  # half a surrogate pair, a very large integer, an argument that holds itself: told apart later


def _checked_arguments(args: Any, kwargs: Any, *, task: str) -> tuple[list[Any], dict[str, Any]]:
    if not isinstance(args, (list, tuple)):  # a text is a sequence too, and hardly meant
        raise SerializationError(f"the args of task {task!r} must be a list or tuple, not {type(args).__name__}")
    if not isinstance(kwargs, Mapping):
        raise SerializationError(f"the kwargs of task {task!r} must be a dictionary, not {type(kwargs).__name__}")
    return list(cast("Sequence[Any]", args)), dict(cast("Mapping[str, Any]", kwargs))


def _checked(value: Any) -> _Parts:
    if not isinstance(value, (list, tuple)):
        raise DecodeError(f"the body of a task must be [args, kwargs, embed], not {type(value).__name__}")
    parts = cast("Sequence[Any]", value)
    if len(parts) != 3:
        raise DecodeError(f"the body of a task must have 3 parts, [args, kwargs, embed], not {len(parts)}")
    args, kwargs, embed = parts
    if not isinstance(args, (list, tuple)):
        raise DecodeError(f"the args of a task must be a list, not {type(args).__name__}")
    if not isinstance(kwargs, dict):
        raise DecodeError(f"the kwargs of a task must be a dictionary, not {type(kwargs).__name__}")
    names = cast("dict[str, Any]", kwargs)
    for name in names:
        if type(name) is not str:
            raise DecodeError(f"the kwargs of a task must have text as keys, not {type(name).__name__}")
    if embed is None:
        return list(cast("Sequence[Any]", args)), names, {}
    if not isinstance(embed, dict):
        raise DecodeError(f"the embed of a task must be a dictionary or null, not {type(embed).__name__}")
    return list(cast("Sequence[Any]", args)), names, _checked_embed(cast("dict[str, Any]", embed))


def _checked_embed(embed: dict[str, Any]) -> dict[str, Any]:
    if embed == NO_EMBED:
        return embed
    for name, value in embed.items():
        if type(name) is not str:
            raise DecodeError(f"the embed of a task must have text as keys, not {type(name).__name__}")
        kind = _EMBED_TYPES.get(name)
        if value is not None and kind is not None and not isinstance(value, kind):
            raise DecodeError(f"{name!r} in the embed of a task must be a {kind.__name__}, not {type(value).__name__}")
    return embed


def _serializer_name(name: str) -> str:
    content_type = content_type_of(name)
    return next(short for short, known in SERIALIZERS.items() if known == content_type)


def _compressed(encoded: Encoded, compression: str) -> Encoded:
    mime_type = compression_type(compression)
    body = compress(encoded.body, mime_type)
    return Encoded(body, encoded.content_type, encoded.content_encoding, mime_type)


def _explained(exc: Exception, subject: str, value: Any, *, serializer: str, variable: str = "value") -> CeleriacError:
    """Return the error for ``exc``, which was raised while ``value`` was being encoded."""
    if isinstance(exc, Refused):
        return explain(subject, value, exc, serializer=serializer, variable=variable)
    if isinstance(exc, CeleriacError):
        return exc
    if isinstance(exc, RecursionError):
        return SerializationError(f"{subject} contains itself or is nested too deeply for {serializer}")
    return SerializationError(f"{subject} cannot be encoded as {serializer}: {type(exc).__name__}: {exc}")


def _foreign(exc: Exception) -> Exception | None:
    """Return ``exc`` if it tells more than the error made of it, as one of the user's own code does."""
    return None if isinstance(exc, Refused) else exc


def _name_argument(
    args: Args, kwargs: Kwargs, *, serializer: str, task: str, parameter_names: Sequence[str]
) -> CeleriacError | None:
    """Return the error that names the first argument that cannot be encoded by itself; None if each can."""
    owner = f" of task {task!r}" if task else ""
    write = WRITERS[serializer if serializer in WRITERS else _serializer_name(serializer)][0]
    named: list[tuple[str, str, Any]] = []
    for index, value in enumerate(args):
        known = index < len(parameter_names)
        name = parameter_names[index] if known else f"args[{index}]"
        named.append((f"argument {name!r}" if known else f"positional argument {index + 1}", name, value))
    named += [(f"argument {name!r}", str(name), value) for name, value in kwargs.items()]
    for label, name, value in named:
        try:
            write(value)
        except Exception as exc:  # as in encode()
            error = _explained(exc, f"{label}{owner}", value, serializer=serializer, variable=name)
            error.__cause__ = _foreign(exc)
            return error
    return None
