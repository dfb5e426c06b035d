"""Where an outbox is: what those who write to it and those who empty it have in common."""

from __future__ import annotations

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from celeriac.app import Celeriac
from celeriac.contrib.sqlalchemy.tables import WAITING, Tables
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
        table = self.tables.messages
        asked = select(func.count(), func.min(table.c.written)).where(table.c.state == WAITING)
        try:
            with self.engine.connect() as connection:
                count, oldest = connection.execute(asked).one()
        except SQLAlchemyError as exc:
            raise away(exc) from exc
        return int(count), 0.0 if oldest is None else max(0.0, self.app.clock.now() - oldest)


def away(exc: SQLAlchemyError) -> OperationalError:
    """Return what an error of the outbox's database means to who reads or empties it."""
    return OperationalError(f"the outbox's database: {getattr(exc, 'orig', None) or exc} (are its tables there?)")
