"""What an SQL operation asks for.

One :class:`Transaction` is one request: all of its steps are carried out, or none. Its reply has the rows of each step,
in order; a :class:`Many` has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from celeriac.core.operation import Operation

T = TypeVar("T")


class Statement(msgspec.Struct, frozen=True, gc=False):
    """One statement, carried out once."""

    sql: str
    parameters: Sequence[Any] = ()


class Many(msgspec.Struct, frozen=True, gc=False):
    """One statement that returns no rows, carried out for each row of parameters."""

    sql: str
    rows: Sequence[Sequence[Any]]


Step: TypeAlias = Statement | Many


class Transaction(msgspec.Struct, frozen=True):
    """Steps that succeed or fail together.

    Attributes:
        steps: In order.
        writes: False if no step changes anything.
        installs: False if the steps look at the schema and must find it as it is. Otherwise a performer that may
            install the schema does so first.
        repeatable: Carrying it out twice does no harm, so a performer may send it again after a lost reply.
    """

    steps: Sequence[Step]
    writes: bool = True
    installs: bool = True
    repeatable: bool = False


Rows: TypeAlias = list[tuple[Any, ...]]
Reply: TypeAlias = list[Rows]
SqlOperation: TypeAlias = Operation[Transaction, Reply, T]

ITEMS: Final = "?/*items*/"
ROWS: Final = "(?)/*rows*/"
# A list is padded to one of these lengths, so that there are few different statements to prepare.
_LENGTHS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def for_items(sql: str, items: Sequence[Any], *before: Any) -> Statement:
    """Return the statement with as many parameters as there are items, which must be at least one.

    Args:
        sql: Contains ``?/*items*/`` for a list within ``IN (...)``, or ``(?)/*rows*/`` for one after ``VALUES``.
        items: Its last is repeated to fill the list up; the statement must not mind.
        before: Parameters that stand before the items.
    """
    length = next((length for length in _LENGTHS if length >= len(items)), len(items))
    padding = [items[-1]] * (length - len(items))
    return Statement(_expanded(sql, length), (*before, *items, *padding))


@lru_cache(maxsize=512)
def _expanded(sql: str, length: int) -> str:
    items = ", ".join("?" * length)
    rows = ", ".join(["(?)"] * length)
    return sql.replace(ITEMS, items).replace(ROWS, rows)
