"""What an operation of this store asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Executable

from celeriac.core.operation import Operation

T = TypeVar("T")
Parameters: TypeAlias = Mapping[str, Any]


class Run(msgspec.Struct, frozen=True):
    """One statement; its reply is its rows, or the number of rows that it changed as the only value of one row."""

    statement: Executable
    parameters: Parameters = {}


class Each(msgspec.Struct, frozen=True):
    """One statement for each of many rows; its reply is empty."""

    statement: Executable
    rows: Sequence[Parameters]


class Put(msgspec.Struct, frozen=True):
    """Insert or update each row, in a database without a statement that does both; its reply is empty.

    Attributes:
        update: Changes the row where it may be changed.
        insert: Adds it.
        rows: Parameters of both.
    """

    update: Executable
    insert: Executable
    rows: Sequence[Parameters]


Step: TypeAlias = Run | Each | Put


class Work(msgspec.Struct, frozen=True):
    """Steps that succeed or fail together, and may be repeated after a lost reply.

    Attributes:
        steps: In order.
        writes: False if no step changes anything.
        installs: False if the steps must find the tables as they are.
    """

    steps: Sequence[Step]
    writes: bool = True
    installs: bool = True


class Install(msgspec.Struct, frozen=True):
    """Create what is missing; the reply is the version."""


class Verify(msgspec.Struct, frozen=True):
    """Look whether the tables are as they must be; the reply is the version."""


Rows: TypeAlias = list[tuple[Any, ...]]
Request: TypeAlias = Work | Install | Verify
DatabaseOperation: TypeAlias = Operation[Request, Any, T]
