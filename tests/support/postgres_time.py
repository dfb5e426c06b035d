"""A PostgreSQL server that the cases of a test process share, with schemas whose clock can be moved.

The store has its time from one function of the schema, so a test that moves the time puts another in its place. Making
a schema takes longer than most cases do; so one that was used is emptied and used again.
"""

from __future__ import annotations

import atexit
import functools
import os
import time
from typing import Any, Final

import psycopg

from celeriac.brokers.postgres.schema import VERSION, within
from tests.support.postgres import PostgresServer

_CLOCK: Final = """
CREATE OR REPLACE FUNCTION celeriac.now() RETURNS double precision LANGUAGE sql VOLATILE
AS $$ SELECT date_part('epoch', clock_timestamp()) + {offset!r} $$
"""
_EMPTY: Final = """
DELETE FROM celeriac.message; DELETE FROM celeriac.owner; DELETE FROM celeriac.result; DELETE FROM celeriac.tally;
DELETE FROM celeriac.worker; DELETE FROM celeriac.sender; DELETE FROM celeriac.entry;
DELETE FROM celeriac.workflow; DELETE FROM celeriac.workflow_join; DELETE FROM celeriac.workflow_message;
DELETE FROM celeriac.workflow_part;
DELETE FROM celeriac.workflow_slot;
DELETE FROM celeriac.role; DELETE FROM celeriac.command; DELETE FROM celeriac.reply;
"""
_used: Final[list[str]] = []


@functools.cache
def server() -> PostgresServer:
    """Return the server of this test process, started with its first use."""
    found = PostgresServer()
    atexit.register(found.close)
    return found.__enter__()


@functools.cache
def _connection() -> psycopg.Connection[Any]:
    found = server().connect()
    atexit.register(found.close)
    found.execute("SET client_min_messages = error")
    return found


class MovableSchema:
    """A schema that nobody else uses.

    Args:
        installed: False: it is not there yet. True: it may be there, and is empty then.
    """

    def __init__(self, *, installed: bool) -> None:
        self.name: Final = _used.pop() if installed and _used else f"s{os.urandom(6).hex()}"
        self._offset = 0.0

    def now(self) -> float:
        """Return the time of the store."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass for the store."""
        self._offset += seconds
        self._set_clock()

    def close(self) -> None:
        """Empty it for the next test, or drop it if it is not as it should be."""
        try:
            ((version,),) = _execute(within(self.name, "SELECT version FROM celeriac.schema_version"))
            assert version == VERSION
            _execute(within(self.name, _EMPTY))
            self._offset = 0.0
            self._set_clock()
            _used.append(self.name)
        except (psycopg.Error, AssertionError):
            _execute(f'DROP SCHEMA IF EXISTS "{self.name}" CASCADE')

    def _set_clock(self) -> None:
        _execute(within(self.name, _CLOCK.format(offset=self._offset)))


def _execute(sql: str) -> Any:
    # As bytes, since it is no literal for type checkers: it is made from constants and the names of our own schemas.
    return _connection().execute(sql.encode())
