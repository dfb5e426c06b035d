"""Creates the tables, and checks them."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection, Engine, inspect, select
from sqlalchemy import exc as errors
from sqlalchemy.schema import CreateSchema

from celeriac.errors import SchemaError
from celeriac.results.database.failures import failure
from celeriac.results.database.tables import VERSION, Tables
from celeriac.results.database.url import Location

ROUNDS: Final = 20
"""Attempts to create the tables while others do."""
PAUSE: Final = 0.05
"""Seconds between two of them."""


def install(engine: Engine, tables: Tables, location: Location) -> int:
    """Create what is missing; return the version. However many do that at once, all find the tables whole.

    Raises:
        SchemaError: The table is not Celeriac's, or a newer version made it.
    """
    for left in reversed(range(ROUNDS)):
        try:
            with engine.connect() as connection:
                if _there(connection, tables, location):
                    return verify(connection, tables, location)
                _create(connection, tables)
        except errors.DBAPIError as exc:
            # Databases say in many ways that somebody else has just created it. Whoever calls tries again what passes.
            if not left or failure(exc, location).passes:
                raise
            time.sleep(PAUSE)
    with engine.connect() as connection:
        return verify(connection, tables, location)


def _there(connection: Connection, tables: Tables, location: Location) -> bool:
    """Tell whether all is there. A table of that name that is not ours is an error before anything is made."""
    found = inspect(connection)
    schema = tables.result.schema
    if not found.has_table(tables.result.name, schema=schema):
        return False
    _check_columns(connection, tables, location)
    if not found.has_table(tables.version.name, schema=schema):
        return False
    return connection.execute(select(tables.version.c.version)).first() is not None


def _create(connection: Connection, tables: Tables) -> None:
    schema = tables.result.schema
    if schema is not None and connection.dialect.name == "postgresql":
        connection.execute(CreateSchema(schema, if_not_exists=True))
    tables.metadata.create_all(connection)
    if connection.execute(select(tables.version.c.version)).first() is None:
        connection.execute(tables.version.insert().values(version=VERSION))
    connection.commit()


def verify(connection: Connection, tables: Tables, location: Location) -> int:
    """Return the version if all is there and current.

    Raises:
        SchemaError: It is not; the text says what to do.
    """
    found = inspect(connection)
    if found.has_table(tables.result.name, schema=tables.result.schema):
        _check_columns(connection, tables, location)
    missing = [
        table.name for table in (tables.result, tables.version) if not found.has_table(table.name, schema=table.schema)
    ]
    if missing:
        raise SchemaError(
            f"the {location.name} lacks the table {' and the table '.join(missing)}: run `celeriac db upgrade`, and"
            " check that the URL names the right database"
        )
    row = connection.execute(select(tables.version.c.version)).first()
    version = 0 if row is None else int(row[0])
    if version > VERSION:
        raise SchemaError(
            f"the tables in the {location.name} have version {version}, and this version of Celeriac knows {VERSION}:"
            " upgrade Celeriac here too, or use another table (?table=...)"
        )
    if version < VERSION:
        raise SchemaError(f"the tables in the {location.name} are not complete: run `celeriac db upgrade`")
    return version


def _check_columns(connection: Connection, tables: Tables, location: Location) -> None:
    table = tables.result
    found = {column["name"] for column in inspect(connection).get_columns(table.name, schema=table.schema)}
    missing = sorted({column.name for column in table.columns} - found)
    if missing:
        raise SchemaError(
            f"the table {table.name} in the {location.name} is not one that Celeriac made (it lacks"
            f" {', '.join(missing)}; Celery's tables have another form): let Celeriac use another name, with the"
            " setting database_table_names = {'task': 'celeriac_result'} or ?table= in the URL"
        )
