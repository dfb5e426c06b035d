"""What PostgreSQL's errors mean for a broker, in words that say what to do.

The codes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html. An error while connecting has no
code, only a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.brokers.postgres.url import Location
from celeriac.errors import (
    BrokerError,
    CeleriacError,
    InvalidTaskError,
    OperationalError,
    SchemaError,
    StoreCorrupt,
    StoreFull,
)

if TYPE_CHECKING:
    import psycopg

ROLLED_BACK: Final = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: nothing was done, and the same will work in a moment."""
AWAY: Final = frozenset({"57P01", "57P02", "57P03", "25006"})
"""The server ends, has crashed, starts, or has become a standby: the connection is worth nothing, another may work."""

# In what a server says to one who connects, and what to do; the first that is found counts. ``False``: asking again at
# once is of no use.
_CONNECTING: Final[tuple[tuple[str, bool, str], ...]] = (
    ("password authentication failed", False, "refused the user or the password: check both in the URL"),
    ("no password supplied", False, "wants a password: put it into the URL, or into ~/.pgpass"),
    ("authentication failed", False, "refused the user: check the user in the URL and the server's pg_hba.conf"),
    ("no pg_hba.conf entry", False, "lets no such user in from here: check its pg_hba.conf, and sslmode in the URL"),
    ("is not permitted to log in", False, "does not let this user in: ALTER ROLE ... LOGIN"),
    ("role ", False, "does not know this user: check the user in the URL"),
    ("database ", False, "has no such database: check the end of the URL, or create it with createdb"),
    ("too many clients", True, "has no room for more connections: raise max_connections, or use PgBouncer"),
    ("connection slots", True, "has no room for more connections: raise max_connections, or use PgBouncer"),
    ("too many connections", True, "lets this user or database have no more connections: raise the limit"),
    ("starting up", True, "is starting: wait, or look at its log"),
    ("shutting down", True, "is shutting down"),
    ("recovery mode", True, "recovers from a crash: wait, or look at its log"),
    ("read-only", True, "is a standby: name the primary, or all servers, in the URL"),
    ("certificate", False, "and we do not agree about certificates: check sslmode and sslrootcert in the URL"),
    ("ssl", False, "and we do not agree about TLS: check sslmode in the URL"),
    ("translate host name", True, "cannot be found: check the host in the URL and the name service"),
    ("timeout", True, "does not answer: check the address, the network and firewalls"),
    ("refused", True, "is not there: check that it runs, and the host and port in the URL"),
)


def passes(exc: psycopg.Error) -> bool:
    """Tell whether an error while connecting may be gone in a moment."""
    said = str(exc).lower()
    return next((later for words, later, _ in _CONNECTING if _says(said, words)), True)


def unreachable(exc: psycopg.Error, location: Location) -> CeleriacError:
    """Return the error to raise for one while connecting."""
    said = str(exc)
    lower = said.lower()
    short = " ".join(said.split())[:300]
    for words, later, advice in _CONNECTING:
        if _says(lower, words):
            return (OperationalError if later else BrokerError)(f"the {location.name} {advice} ({short})")
    return OperationalError(f"the {location.name} cannot be reached: {short}")


def _says(said: str, words: str) -> bool:
    if words in ("role ", "database "):
        return words in said and "does not exist" in said
    return words in said


def out_of_time(location: Location) -> OperationalError:
    """Return the error for a server that does not answer."""
    return OperationalError(
        f"the {location.name} did not answer for {location.timeout:g} seconds: check that it runs and has time,"
        " look for locks in pg_stat_activity, or raise the parameter timeout of the URL"
    )


def translate(exc: psycopg.Error, location: Location) -> CeleriacError:
    """Return the error to raise for one in the middle of an operation."""
    code = exc.sqlstate or ""
    name = f"the {location.name}"
    said = " ".join(str(exc.diag.message_primary or exc).split())[:300]
    if code in ("53100", "58030"):
        return StoreFull(f"{name} cannot write: its disk is full or failing ({said}). Nothing was written; make room")
    if code == "53300":
        return OperationalError(f"{name} has no room for more connections: raise max_connections ({said})")
    if code == "25006":
        return OperationalError(
            f"{name} takes no writes: it is a standby, or read-only by default (default_transaction_read_only). Name"
            f" the primary, or all servers, in the URL ({said})"
        )
    if code == "25P02":
        return OperationalError(f"{name} refused: the transaction has failed already, roll it back ({said})")
    if code in ("3F000", "42P01", "42883", "42703"):
        return SchemaError(
            f"{name} lacks schema {location.schema!r} or part of it ({said}): run `celeriac db upgrade`, and check that"
            " the URL names the right database"
        )
    if code == "42501":
        return BrokerError(
            f"{name} does not let this user do that ({said}): let the owner run `celeriac db upgrade`, and grant this"
            f" user USAGE on schema {location.schema}, all on its tables and sequences, and EXECUTE on its functions"
        )
    if code in ("22021", "22P05"):
        return InvalidTaskError(f"{name} cannot keep one of these texts ({said}): its encoding must be UTF8")
    if code in ("54000", "22P03", "08P01"):
        return BrokerError(
            f"a message or result is too big for {name} ({said}): pass a reference to large data instead"
        )
    if code in ("XX001", "XX002"):
        return StoreCorrupt(f"{name} found damaged data ({said}): look at its log, and restore from a backup")
    if not code or code in AWAY or code in ROLLED_BACK or code[:2] in ("08", "53", "55", "57", "58"):
        return OperationalError(f"the connection to {location.name} was lost or interrupted ({said}); try again")
    return BrokerError(f"{name} refused an operation: {code} {said}")
