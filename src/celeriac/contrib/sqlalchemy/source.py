"""Where an outbox is: what those who write to it and those who empty it have in common."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from celeriac.app import Celeriac
from celeriac.app.transaction import OutboxState
from celeriac.contrib.sqlalchemy.tables import REFUSED, RELAY, WAITING, Tables
from celeriac.errors import OperationalError


class Source:
    """An outbox's app, database and tables.

    Args:
        app: The app.
        engine: The application's database.
        tables: The outbox's tables in it.
    """

    def __init__(self, app: Celeriac, engine: Engine, tables: Tables) -> None:
        self.app = app
        self.engine = engine
        self.tables = tables

    def lag(self) -> tuple[int, float]:
        """Return how many messages wait, and the age of the oldest in seconds.

        Raises:
            OperationalError: The database cannot be asked.
        """
        try:
            with self.engine.connect() as connection:
                return self._lag(connection)
        except SQLAlchemyError as exc:
            raise away(exc) from exc

    def state(self) -> OutboxState:
        """Return how far the outbox is behind, who leads, and what keeps it from publishing.

        Raises:
            OperationalError: The database cannot be asked.
        """
        table, relay = self.tables.messages, self.tables.relay
        aside = select(func.count()).where(table.c.state == REFUSED)
        led = select(relay.c.holder, relay.c.seen, relay.c.error).where(relay.c.name == RELAY)
        try:
            with self.engine.connect() as connection:
                waiting, oldest = self._lag(connection)
                refused = connection.execute(aside).scalar_one()
                row = connection.execute(led).one_or_none()
        except SQLAlchemyError as exc:
            raise away(exc) from exc
        holder, seen, error = (None, None, None) if row is None else row
        return OutboxState(
            waiting=waiting,
            oldest=oldest,
            refused=int(refused),
            leader=holder,
            seen=None if holder is None or seen is None else self._age(seen),
            error=error,
        )

    def _lag(self, connection: Connection) -> tuple[int, float]:
        table = self.tables.messages
        asked = select(func.count(), func.min(table.c.written)).where(table.c.state == WAITING)
        count, oldest = connection.execute(asked).one()
        return int(count), 0.0 if oldest is None else self._age(oldest)

    def _age(self, moment: float) -> float:
        return max(0.0, self.app.clock.now() - moment)


_ABSENT: Final = ("no such table", "does not exist", "doesn't exist")
"""What SQLite, PostgreSQL and MySQL say of a table that is not there."""


def away(exc: SQLAlchemyError) -> OperationalError:
    """Return what an error of the outbox's database means to who reads or empties it."""
    told = f"the outbox's database: {getattr(exc, 'orig', None) or exc}"
    absent = any(words in told for words in _ABSENT)
    return OperationalError(f"{told}: make the outbox's tables by its create(), or a migration" if absent else told)
