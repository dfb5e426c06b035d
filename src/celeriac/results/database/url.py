"""What the URL of a database for results says: SQLAlchemy's own form, with a few parameters for this store.

Celery writes ``db+`` before it: ``db+mysql+pymysql://user:password@host/database``. Parameters that are not named here
go to the database's own client library, as SQLAlchemy has it.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from celeriac.brokers.parameters import parameter, seconds, switch, whole
from celeriac.core.redact import redact_url
from celeriac.errors import ImproperlyConfigured

TIMEOUT: Final = 5.0
LONGEST_TIMEOUT: Final = 3600.0
TABLE: Final = "celeriac_result"
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}\Z")
"""Names that need no thought in any database."""
CONNECTIONS: Final = 4
"""Connections of one process, unless the engine options say ``pool_size`` or ``max_overflow``."""
OWN: Final = ("install", "schema", "table", "timeout")
_WHOLE: Final = ("max_overflow", "pool_recycle", "pool_size")
_SWITCHES: Final = ("echo", "pool_pre_ping")
PREFIXES: Final = ("db+", "database+")
"""What Celery writes before SQLAlchemy's scheme."""
_CLIENTS: Final = {
    "mysql": ("MySQLdb", "pymysql"),
    "mariadb": ("MySQLdb", "pymysql"),
    "postgresql": ("psycopg2", "psycopg"),
}
"""For schemes that name no client: the usual choice of SQLAlchemy's, and what is taken where only that is installed."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What settings say about a database for results.

    Attributes:
        engine: ``database_engine_options``: arguments of SQLAlchemy's ``create_engine``.
        short_lived: ``database_short_lived_sessions``: each request has a connection of its own.
        table: ``database_table_names["task"]``.
        schema: ``database_table_schemas["task"]``.
        installs: ``database_create_tables_at_setup``.
    """

    engine: Mapping[str, Any] = {}
    short_lived: bool = False
    table: str | None = None
    schema: str | None = None
    installs: bool = True


NO_OPTIONS: Final = Options()


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database is and how to treat it.

    Attributes:
        url: SQLAlchemy's URL, password included; never shown.
        dialect: Such as ``mysql``.
        client: The client library, such as ``pymysql``.
        table: The table of results; others are named after it.
        schema: The schema of the tables; None is the database's own default.
        timeout: Seconds for one operation, with all its attempts to connect.
        installs: Create the tables with the first use.
        engine: Arguments of ``create_engine``.
        short_lived: Each request has a connection of its own.
    """

    url: URL
    dialect: str
    client: str
    table: str = TABLE
    schema: str | None = None
    timeout: float = TIMEOUT
    installs: bool = True
    engine: dict[str, Any] = {}
    short_lived: bool = False

    @property
    def name(self) -> str:
        """What to call it in front of people: without the password."""
        shown = self.url.set(query={}).render_as_string(hide_password=True)
        return f"result database {redact_url(shown)}"

    @property
    def in_memory(self) -> bool:
        """Whether nothing but one connection of this process sees it."""
        return self.dialect == "sqlite" and self.url.database in (None, "", ":memory:")

    @property
    def connections(self) -> int:
        """How many connections this process has at most."""
        if self.in_memory:
            return 1
        size = self.engine.get("pool_size", CONNECTIONS)
        extra = self.engine.get("max_overflow", 0)
        return max(1, size + max(0, extra)) if isinstance(size, int) and isinstance(extra, int) else CONNECTIONS

    def __repr__(self) -> str:
        return f"Location({self.name}, table {self.table})"


def without_prefix(url: str) -> str:
    """Return SQLAlchemy's URL for one with Celery's ``db+`` before it."""
    scheme, colon, rest = url.partition(":")
    url = f"{scheme.lower()}{colon}{rest}"
    for prefix in PREFIXES:
        url = url.removeprefix(prefix)
    return url


def parse(url: str, options: Options = NO_OPTIONS) -> Location:
    """Return what the URL, and settings, say; the URL counts more.

    Raises:
        ImproperlyConfigured: SQLAlchemy does not know the scheme, its client library is missing, or a parameter is
            wrong.
    """
    shown = redact_url(url)
    base, _, query = without_prefix(url).partition("?")
    own: dict[str, str] = {}
    engine: dict[str, Any] = dict(options.engine)
    others: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in OWN:
            own[name] = value
        elif name in _WHOLE:
            engine[name] = parameter(shown, name, value, whole({"pool_size": 1, "max_overflow": 0}.get(name, -1)))
        elif name in _SWITCHES:
            engine[name] = parameter(shown, name, value, switch)
        else:
            others.append((name, value))
    try:
        place = make_url(base + (f"?{urlencode(others, quote_via=quote)}" if others else ""))
    except (ArgumentError, ValueError):
        raise ImproperlyConfigured(
            f"{shown!r} is not a URL of SQLAlchemy's form dialect+client://user:password@host:port/database"
            " (/, @, : in a password: %2F, ...)"
        ) from None
    place = _with_client(place)
    dialect = _dialect(shown, place)
    return Location(
        url=place,
        dialect=place.get_backend_name(),
        client=dialect.driver,
        table=_name(shown, "table", own.get("table", options.table), TABLE) or TABLE,
        schema=_name(shown, "schema", own.get("schema", options.schema), None),
        timeout=parameter(shown, "timeout", own.get("timeout", str(TIMEOUT)), seconds(LONGEST_TIMEOUT)),
        installs=parameter(shown, "install", own["install"], switch) if "install" in own else options.installs,
        engine=engine,
        short_lived=options.short_lived,
    )


def merge(url: str, options: Mapping[str, Any]) -> tuple[str, list[tuple[str, str | None]]]:
    """Return the URL with the options of settings as further parameters, and each unknown option with a likely one.

    Args:
        url: The URL; what it says itself counts more.
        options: The value of ``result_backend_transport_options``.
    """
    base, mark, query = url.partition("?")
    told = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    known = (*OWN, *_WHOLE, *_SWITCHES)
    added: list[tuple[str, str]] = []
    unknown: list[tuple[str, str | None]] = []
    for name, value in options.items():
        if name == "connect_timeout":
            continue  # The time for the whole operation holds here.
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            unknown.append((name, near[0] if near else None))
        elif name not in told and value is not None:
            added.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    if not added:
        return url, unknown
    return f"{base}?{query}{'&' if mark and query else ''}{urlencode(added, quote_via=quote)}", unknown


def _with_client(place: URL) -> URL:
    """Name the client that is installed, where the URL leaves it open and SQLAlchemy would take another."""
    usual, ours = _CLIENTS.get(place.drivername, (None, None))
    if usual is None or ours is None or importlib.util.find_spec(usual) or importlib.util.find_spec(ours) is None:
        return place
    return place.set(drivername=f"{place.drivername}+{ours}")


def _dialect(shown: str, place: URL) -> Any:
    try:
        dialect: Any = place.get_dialect()
        dialect.import_dbapi()
    except NoSuchModuleError:
        raise ImproperlyConfigured(
            f"result backend URL {shown!r}: SQLAlchemy {sqlalchemy.__version__} knows no dialect"
            f" {place.drivername!r}; common ones are mysql+pymysql, mariadb+pymysql, postgresql+psycopg and sqlite"
        ) from None
    except ModuleNotFoundError as exc:
        raise ImproperlyConfigured(
            f"result backend URL {shown!r} needs the package that has the module {exc.name!r}; install it, or name"
            " another client (for MySQL and MariaDB: mysql+pymysql://, with pip install 'celeriac[mysql]')"
        ) from exc
    if dialect.is_async:
        raise ImproperlyConfigured(
            f"result backend URL {shown!r}: {dialect.driver} is a client for asyncio only, and workers and blocking"
            " senders read results, too; name a blocking client (mysql+pymysql, postgresql+psycopg, sqlite). It works"
            " in threads of its own, so that no event loop waits for it"
        )
    return dialect


def _name(shown: str, what: str, name: str | None, default: str | None) -> str | None:
    if name is None:
        return default
    if not NAME.match(name):
        raise ImproperlyConfigured(
            f"{shown!r}: {what}={name} must be at most 40 letters, digits and _, not beginning with a digit"
        )
    return name
