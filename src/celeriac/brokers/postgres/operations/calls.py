"""How operations name what they ask for: SQL for the schema of one store, made once."""

from __future__ import annotations

from typing import Any, Final

from celeriac.brokers.postgres.queries import query
from celeriac.brokers.postgres.schema import within
from celeriac.brokers.sql.requests import Statement, Transaction


class Sweep(Transaction, frozen=True):
    """Upkeep that may take a while: it is begun on a connection of its own, and nobody waits for it."""


LINE: Final = Transaction((), writes=False, installs=False)
"""Asks the connection about itself. The one row of the reply: a pooler is in between, and notifications are wanted."""
ENQUEUE: Final = "enqueue($1, $2, $3, $4, $5, $6)"
"""How the call of this operation ends."""
_ENQUEUE_TYPES: Final = ("text[]", "text[]", "text[]", "smallint[]", "double precision[]", "bytea[]")


def enqueue_within(schema: str, place: str) -> str:
    """Return the call of enqueue for a connection of any client library, in a transaction of its own.

    Args:
        schema: The name of the schema.
        place: How the library writes a parameter, with ``{}`` for its number, if it is numbered.
    """
    # Whatever type a library gives a parameter, a text it can say.
    casts = [f"CAST(CAST({place.format(n)} AS text) AS {kind})" for n, kind in enumerate(_ENQUEUE_TYPES, 1)]
    return within(schema, f"SELECT celeriac.enqueue({', '.join(casts)}, true)")


class Calls:
    """Makes requests to one schema.

    Args:
        schema: Its name.
    """

    def __init__(self, schema: str) -> None:
        self.schema: Final = schema
        self._texts: Final[dict[str, str]] = {}

    def call(self, function: str, *parameters: Any) -> Transaction:
        """Return a call of one of the schema's functions."""
        key = f"{function}/{len(parameters)}"
        sql = self._texts.get(key)
        if sql is None:
            places = ", ".join(f"${place}" for place in range(1, len(parameters) + 1))
            sql = self._texts[key] = within(self.schema, f"SELECT * FROM celeriac.{function}({places})")
        return Transaction((Statement(sql, parameters),))

    def write(self, name: str, *parameters: Any) -> Transaction:
        """Return a request of one query that changes something."""
        return Transaction((Statement(self.text(name), parameters),))

    def read(self, name: str, *parameters: Any, installs: bool = True) -> Transaction:
        """Return a request of one query that changes nothing."""
        return Transaction((Statement(self.text(name), parameters),), writes=False, installs=installs)

    def text(self, name: str) -> str:
        """Return the text of a query, for this schema."""
        sql = self._texts.get(name)
        if sql is None:
            sql = self._texts[name] = within(self.schema, query(name))
        return sql


class Asking:
    """Operations on one schema.

    Args:
        calls: Makes their requests.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls: Final = calls
