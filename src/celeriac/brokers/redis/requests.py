"""What a Redis operation asks for.

One :class:`Script` is one request: one round trip, carried out by the server whole, with nothing in between. All its
keys have the same hash tag, so that a cluster finds them in one slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from celeriac.core.operation import Operation

T = TypeVar("T")

Argument: TypeAlias = bytes | str | int | float


class Script(msgspec.Struct, frozen=True, gc=False):
    """A call of one script.

    Attributes:
        name: Its file is ``scripts/<name>.lua``; the file's header says which keys, arguments and reply it has.
        keys: At least one; the first tells a cluster where the script runs.
        args: Its arguments. Floats are sent so that they come back as they were.
        repeatable: Carrying it out twice does no harm, so a performer may send it again after a lost reply.
    """

    name: str
    keys: Sequence[str]
    args: Sequence[Argument] = ()
    repeatable: bool = False


class Scripts(msgspec.Struct, frozen=True, gc=False):
    """Calls of scripts with the same keys, sent together and carried out one after the other.

    They are not one: others may come in between, and if one fails the rest are carried out all the same. They are
    never repeated.

    Attributes:
        scripts: The calls.
    """

    scripts: tuple[Script, ...]


class Commands(msgspec.Struct, frozen=True):
    """Plain commands for looking at the server itself, such as INFO; each is answered, or refused, by itself.

    Attributes:
        commands: Each with its arguments.
    """

    commands: Sequence[Sequence[Argument]]


Request: TypeAlias = Script | Scripts | Commands
Reply: TypeAlias = Any
"""What the script returns: bytes, int, None or lists of these. Of Scripts: a list with the reply of each. Of Commands:
a list with the reply of each, or the text of its refusal as a :class:`Refused`."""


class Refused(msgspec.Struct, frozen=True):
    """A server's error in the place of a reply to one of several commands."""

    text: str


RedisOperation: TypeAlias = Operation[Request, Reply, T]
