"""Hostile bytes, made from good ones: what an attacker, a faulty peer or a failing disk puts into a broker.

Two ways lead from good bytes to bad ones. By structure: the bytes are read as MessagePack or JSON, the tree is changed
(junk in the place of a value, something gone, twice, swapped, renamed, buried deep), and written again, so that what
reads it gets past the outer layers. By bytes: cut, flipped, moved, with a wrong length. Every choice is drawn from one
generator, either Hypothesis's (then a failure shrinks) or ``random.Random``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

DEPTHS: Final = (2, 40, 900, 1100, 20_000, 300_000)
DEEPEST: Final = 40
HUGE: Final = (2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**31), -(2**63), 10**9)
FLOATS: Final = (math.nan, math.inf, -math.inf, 1e300, -1e300, 5e-324, -0.0, 1e18, 0.1)
TEXTS: Final = (
    "",
    "\0",
    "a\0b",
    "\x1b[2J\x1b]0;owned\x07",
    "line\nbreak\r\nTask forged[1] succeeded",
    "\u202egnp.exe",
    "\ufeff",
    "\U0001f955" * 50,
    "x" * 300,
    "y" * 70_000,
    "../../etc/passwd",
    "__import__('os').system('true')",
    "%s%n%(name)s{0.__class__}",
    "NaN",
    "null",
    "os",
    "SystemExit",
    "KeyboardInterrupt",
    "__builtins__",
    "application/x-python-serialize",
    "application/json",
    "application/x-msgpack",
    "application/x-yaml",
    "application/x-gzip",
    "application/zstd",
    "application/x-bz2",
    "application/x-lzma",
    "utf-16",
    "idna",
    "zip",
)
BLOBS: Final = (b"", b"\xff", b"\x80\x04\x95", b"\0" * 300, b"[" * 5000, b"\x1f\x8b", b"[[],{},{}]", b"{}", b"null")
TAGS: Final[tuple[dict[str, Any], ...]] = (
    {"__type__": "datetime", "__value__": "2024-01-01"},
    {"__type__": "decimal", "__value__": "1e999999999"},
    {"__type__": "dict", "__value__": [[1, 2], [3]]},
    {"__type__": "timedelta", "__value__": [10**12, 0, 0]},
    {"__type__": "nothing", "__value__": None},
    {"__type__": None, "__value__": None},
    {"exc_type": "SystemExit", "exc_module": "builtins", "exc_message": [1]},
    {"exc_type": "system", "exc_module": "os", "exc_message": ["true"]},
    {"exc_type": "Popen", "exc_module": "subprocess", "exc_message": ["true"]},
    {"exc_type": "X" * 1000, "exc_module": "no.such.module", "exc_message": {"a": 1}},
    {"task": "os.system", "args": ["true"], "kwargs": {}, "options": {"queue": 5}},
    {"task": None, "args": 5, "options": [], "subtask_type": "chord"},
)

Tree = Any


def junk(rng: Random, depth: int = 0) -> Tree:
    """Return a value that hardly anybody expects."""
    match rng.randrange(10 if depth < 3 else 7):
        case 0:
            return None
        case 1:
            return rng.random() < 0.5
        case 2:
            return rng.choice(HUGE)
        case 3:
            return rng.randrange(-3, 300)
        case 4:
            return rng.choice(FLOATS)
        case 5:
            return rng.choice(TEXTS)
        case 6:
            return rng.choice(BLOBS)
        case 7:
            return rng.choice(TAGS)
        case 8:
            return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {rng.choice(TEXTS): junk(rng, depth + 1) for _ in range(rng.randrange(4))}


class Buried(msgspec.Struct, frozen=True):
    """A value to be written so many levels deep; no writer recurses that far."""

    depth: int


def places(tree: Tree, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything in a tree, the tree itself first; what lies very deep is left alone."""
    found = [path]
    if len(path) > DEEPEST:
        return found
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += places(value, (*path, key))
    elif isinstance(tree, (list, tuple)):
        for key, value in enumerate(tree):
            found += places(value, (*path, key))
    return found


def changed(tree: Tree, path: tuple[Any, ...], change: Callable[[Tree], Tree]) -> Tree:
    """Return the tree with what is at the path changed."""
    if not path:
        return change(tree)
    first, *rest = path
    if isinstance(tree, dict):
        return {key: changed(value, tuple(rest), change) if key == first else value for key, value in tree.items()}
    return [changed(value, tuple(rest), change) if key == first else value for key, value in enumerate(tree)]


def mutated(rng: Random, tree: Tree) -> Tree:
    """Return the tree with one to three things in it changed; often all into others of their types."""
    worse = alike if rng.random() < 0.6 else _worse
    for _ in range(rng.choice((1, 1, 2, 3))):
        # A change of the whole leaves nothing to get past.
        path = rng.choice(places(tree)[1:] or [()])
        tree = changed(tree, path, lambda value: worse(rng, value))
    return tree


def alike(rng: Random, value: Tree) -> Tree:
    """Return another value of the same type, which gets past a reader that looks at types only."""
    match value:
        case bool():
            return not value
        case int():
            return rng.choice((*HUGE, 0, -1, 2**32, max(0, value - 1)))
        case float():
            return rng.choice(FLOATS)
        case str():
            return rng.choice(TEXTS)
        case bytes():
            return rng.choice(BLOBS) if rng.random() < 0.2 else hostile(rng, value)
        case list() | tuple():
            return [junk(rng) for _ in range(rng.randrange(4))]
        case dict():
            return {key: junk(rng) for key in value}
        case _:
            return rng.choice((rng.choice(FLOATS), rng.choice(TEXTS), rng.choice(HUGE)))


def _worse(rng: Random, value: Tree) -> Tree:
    match rng.randrange(8):
        case 0:
            return Buried(rng.choice(DEPTHS))
        case 1 if isinstance(value, dict) and value:
            gone = rng.choice(sorted(map(str, value)))
            return {key: item for key, item in value.items() if key != gone}
        case 2 if isinstance(value, dict) and value:
            renamed = rng.choice(sorted(map(str, value)))
            return {rng.choice(TEXTS) if key == renamed else key: item for key, item in value.items()}
        case 1 | 2 if isinstance(value, list) and value:
            at = rng.randrange(len(value))
            return [*value[:at], *value[at + 1 :]]
        case 3 if isinstance(value, dict):
            return {**value, rng.choice(TEXTS): junk(rng)}
        case 3 | 4 if isinstance(value, list):
            return [*value, *value, junk(rng)]
        case 4 if isinstance(value, (str, bytes)):
            return value * rng.choice((0, 2, 1000))
        case 5:
            return [value]
        case 5 | 6 if isinstance(value, dict) and len(value) > 1:
            one, other = rng.choice(sorted(map(str, value))), rng.choice(sorted(map(str, value)))
            return {**value, one: value.get(other), other: value.get(one)}
        case _:
            return junk(rng)


# As bytes.


def as_msgpack(tree: Tree) -> bytes:
    """Return the tree as MessagePack, as far as that has words for it."""
    return msgspec.msgpack.encode(_writable(tree, lambda depth: msgspec.Raw(b"\x91" * depth + b"\xc0")))


def as_json(tree: Tree) -> bytes:
    """Return the tree as JSON, as Python writes it: with NaN, and with integers of any size."""
    marks: list[int] = []

    def mark(depth: int) -> str:
        marks.append(depth)
        return f"\x7fburied {len(marks) - 1}\x7f"

    text = json.dumps(_writable(tree, mark), default=lambda value: value.decode("latin-1"))
    for number, depth in enumerate(marks):
        text = text.replace(json.dumps(f"\x7fburied {number}\x7f"), "[" * depth + "]" * depth)
    return text.encode()


def _writable(tree: Tree, bury: Callable[[int], Any]) -> Any:
    if isinstance(tree, Buried):
        return bury(tree.depth)
    if isinstance(tree, dict):
        return {str(key): _writable(value, bury) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_writable(value, bury) for value in tree]
    return tree


def scrambled(rng: Random, data: bytes) -> bytes:
    """Return the bytes cut, flipped, moved, doubled or with something put into them."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.randrange(1, 9))
        match rng.randrange(7):
            case 0:
                del out[at:]
            case 1:
                del out[at:end]
            case 2 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 3 if at < len(out):
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0x9F, 0xC1, 0xC6, 0xC7, 0xDB, 0xDC, 0xDD, 0xDF, 0xFF))
            case 4:
                # Heads of lists, texts and extensions that claim to be billions long.
                out[at:at] = rng.choice((b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9")) + b"\xff" * rng.randrange(5)
            case 5:
                out[at:at] = out[at:end] * rng.choice((1, 50))
            case _:
                out[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(9)))
    return bytes(out)


def hostile(rng: Random, good: bytes) -> bytes:
    """Return bytes that may be anything between the good ones and noise."""
    kind = rng.randrange(12)
    if kind == 0:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    if kind in (1, 2):
        return scrambled(rng, good)
    data = restructured(rng, good)
    return scrambled(rng, data) if kind == 3 else data


def restructured(rng: Random, good: bytes) -> bytes:
    """Return the bytes with their structure changed; scrambled if they have none that is known."""
    for read, write in ((json.loads, as_json), (msgspec.msgpack.decode, as_msgpack)):
        try:
            tree = read(good)
            if isinstance(tree, (dict, list)):
                return write(mutated(rng, tree))
        except (ValueError, RecursionError, OverflowError):
            continue  # It is something else, or too deep for us.
    return scrambled(rng, good)
