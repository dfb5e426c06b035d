"""One function to write and one to read each format.

Reading turns every failure into :class:`~celeriac.errors.DecodeError`: the bytes may come from anybody. Writing lets
:class:`~celeriac.core.codec.refusal.Refused` and other errors pass; who knows what the value is called words them.

JSON is read and written by msgspec where that gives the same as Python's own ``json``; the rest (tags, NaN, half
surrogates, numbers of any size) takes the slower path through ``json``.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, cast

import msgspec

from celeriac.core.codec.content import JSON, MSGPACK, PICKLE, TEXT, YAML, text_of
from celeriac.core.codec.refusal import Refused
from celeriac.core.codec.tags import TYPE, NotFinite, is_plain, read_shared_tags, read_tag, read_tags, to_plain
from celeriac.errors import DecodeError, ImproperlyConfigured

PICKLE_PROTOCOL: Final = 4
"""The protocol that peers write; every Python since 3.4 reads it."""

TAG_MARK: Final = TYPE.encode()
"""A JSON body without these bytes holds no tagged object."""

_YAML_MISSING: Final = "yaml needs PyYAML: pip install 'celeriac[yaml]'"
_NOT_FINITE: Final[frozenset[type]] = frozenset({float})
_MSGPACK_TYPES: Final[frozenset[type]] = frozenset({float, bytes})

fast_json: Final = msgspec.json.Encoder().encode
_read_fast_json: Final = msgspec.json.Decoder().decode
# ASCII only, like the peers' writers: half surrogates pass as \udXXX.
_slow_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False).encode
_read_slow_json: Final = json.JSONDecoder(object_hook=read_tag).decode
_msgpack: Final = msgspec.msgpack.Encoder().encode


def _refuse_extension(code: int, data: memoryview) -> Any:
    raise DecodeError(f"MessagePack extension type {code} ({len(data)} bytes) is not known")


_read_msgpack: Final = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode


def write_json(value: Any) -> bytes:
    """Return ``value`` as JSON."""
    try:
        return fast_json(value if is_plain(value) else to_plain(value))
    except (NotFinite, UnicodeEncodeError, ValueError, OverflowError):
        # NaN, half a surrogate pair, or a very large integer.
        return _slow_json(to_plain(value, _NOT_FINITE)).encode("ascii")


def read_json(body: bytes, content_encoding: str = "utf-8") -> Any:
    """Return the value in JSON text.

    Raises:
        DecodeError: It is not JSON, or holds an unknown tag.
    """
    if content_encoding == "utf-8":
        try:
            value = _read_fast_json(body)
            return value if TAG_MARK not in body else read_tags(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong in it, or what msgspec does not read, is found out below
    text = text_of(body, content_encoding)
    try:
        return _read_slow_json(text)
    except DecodeError:
        raise
    except RecursionError:
        raise DecodeError("the JSON is nested too deeply") from None
    except ValueError as exc:  # also a number of more digits than Python converts
        raise DecodeError(f"the body is not JSON: {exc}") from exc


def _write_msgpack(value: Any) -> bytes:
    return _msgpack(to_plain(value, _MSGPACK_TYPES))


def _load_msgpack(body: bytes, content_encoding: str) -> Any:
    return read_tags(_read_msgpack(body))


def _write_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=PICKLE_PROTOCOL)


def _load_pickle(body: bytes, content_encoding: str) -> Any:
    return pickle.loads(body)


def _yaml() -> ModuleType:
    try:
        import yaml
    except ImportError as exc:
        raise ImproperlyConfigured(_YAML_MISSING) from exc
    return yaml


def _write_yaml(value: Any) -> bytes:
    yaml = _yaml()
    dumped = yaml.dump(to_plain(value, _NOT_FINITE), Dumper=yaml.SafeDumper, sort_keys=False)
    return cast("str", dumped).encode("utf-8")


def _load_yaml(body: bytes, content_encoding: str) -> Any:
    yaml = _yaml()
    # Not the faster CSafeLoader: libyaml recurses without a bound, and deep nesting ends the process.
    return read_shared_tags(yaml.load(text_of(body, content_encoding), Loader=yaml.SafeLoader))


def _load_text(body: bytes, content_encoding: str) -> Any:
    return text_of(body, content_encoding)


def _write_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Refused(value, "must be text (str) for the serializer 'text'")
    return value.encode("utf-8")


def _write_raw(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise Refused(value, "must be bytes for the serializer 'raw'")
    return value


WRITERS: Final[Mapping[str, tuple[Callable[[Any], bytes], str]]] = {
    "json": (write_json, "utf-8"),
    "msgpack": (_write_msgpack, "binary"),
    "pickle": (_write_pickle, "binary"),
    "yaml": (_write_yaml, "utf-8"),
    "text": (_write_text, "utf-8"),
    "raw": (_write_raw, "binary"),
}
"""Serializer name to (writer, content encoding)."""

_READERS: Final[Mapping[str, Callable[[bytes, str], Any]]] = {
    JSON: read_json,
    MSGPACK: _load_msgpack,
    PICKLE: _load_pickle,
    YAML: _load_yaml,
    TEXT: _load_text,
}


def read(body: bytes, content_type: str, content_encoding: str) -> Any:
    """Return the value in ``body``; of an unknown content type the bytes themselves.

    Raises:
        DecodeError: The body is not of that type.
    """
    reader = _READERS.get(content_type)
    if reader is None:
        return body
    try:
        return reader(body, content_encoding)
    except DecodeError:
        raise
    except RecursionError:
        raise DecodeError(f"the {content_type} body is nested too deeply") from None
    except Exception as exc:  # each library has errors of its own, and unpickling can raise anything
        raise DecodeError(f"the body is not {content_type}: {type(exc).__name__}: {exc}") from exc
