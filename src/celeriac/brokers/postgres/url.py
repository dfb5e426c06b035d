"""What a ``postgresql://`` URL says: libpq's own form, with a few parameters for the driver.

Several hosts, TLS (``sslmode``, ``sslrootcert``), sockets (``host=/path``), services and passfiles are libpq's:
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS. SQLAlchemy's ``postgresql+psycopg://``
means the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from celeriac.brokers.parameters import parameter, seconds, switch
from celeriac.brokers.postgres.schema import DEFAULT_SCHEMA, SCHEMA_NAME
from celeriac.core.redact import redact_url
from celeriac.errors import ImproperlyConfigured

TIMEOUT: Final = 5.0
LONGEST_TIMEOUT: Final = 3600.0
OWN: Final = ("install", "listen", "schema", "timeout")
_COMMON: Final = ("application_name", "connect_timeout", "options", "sslmode", "sslrootcert", "target_session_attrs")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database is and how to treat it.

    Attributes:
        parameters: libpq's, password included; never shown.
        schema: Where Celeriac's tables are.
        timeout: Seconds for one operation, with all its attempts to connect.
        installs: Create or upgrade the schema with the first use.
        listens: Wait for notifications; False looks again and again, which a pooler needs.
    """

    parameters: dict[str, Any]
    schema: str = DEFAULT_SCHEMA
    timeout: float = TIMEOUT
    installs: bool = True
    listens: bool = True

    @property
    def name(self) -> str:
        """What to call it in front of people: without the password."""
        found = self.parameters
        host = str(found.get("host") or found.get("hostaddr") or "the default socket")
        port = str(found.get("port") or "5432")
        hosts, ports = host.split(","), port.split(",")
        pairs = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
        places = ",".join(one if one.startswith("/") or not found.get("host") else f"{one}:{at}" for one, at in pairs)
        return f"PostgreSQL server {places}, database {found.get('dbname') or found.get('user') or 'of the user'}"

    @property
    def place(self) -> str:
        """What identifies the store; equal for two URLs of the same store."""
        found = self.parameters
        named = [str(found.get(key) or default) for key, default in (("host", ""), ("port", "5432"), ("dbname", ""))]
        return "/".join([*named, self.schema])

    def __repr__(self) -> str:
        return f"Location({self.name}, schema {self.schema})"


def parse(url: str) -> Location:
    """Return what the URL says.

    Raises:
        ImproperlyConfigured: It is no URL of libpq's, or a parameter is wrong.
    """
    shown = redact_url(url)
    _, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    own: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in OWN:
            own[name] = value
        else:
            others.append((name, value))
    try:
        found = conninfo_to_dict(f"postgresql://{place}" + (f"?{urlencode(others, quote_via=quote)}" if others else ""))
    except psycopg.ProgrammingError as exc:
        raise ImproperlyConfigured(f"{shown!r}: {_why([name for name, _ in others], str(exc))}") from None
    return Location(
        parameters=_with_defaults(dict(found)),
        schema=_schema(shown, own.get("schema", DEFAULT_SCHEMA)),
        timeout=parameter(shown, "timeout", own.get("timeout", str(TIMEOUT)), seconds(LONGEST_TIMEOUT)),
        installs=parameter(shown, "install", own.get("install", "true"), switch),
        listens=parameter(shown, "listen", own.get("listen", "true"), switch),
    )


def merge(url: str, options: Mapping[str, Any]) -> tuple[str, list[tuple[str, str | None]]]:
    """Return the URL with the options of settings as further parameters, and each unknown option with a likely one.

    What the URL itself says counts more.

    Args:
        url: The URL.
        options: The value of ``broker_transport_options`` or ``result_backend_transport_options``.
    """
    base, mark, query = url.partition("?")
    told = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    libpq = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    added: list[tuple[str, str]] = []
    unknown: list[tuple[str, str | None]] = []
    for name, value in options.items():
        if name not in libpq and name not in OWN:
            near = difflib.get_close_matches(name, [*OWN, *_COMMON], n=1)
            unknown.append((name, near[0] if near else None))
        elif name not in told and value is not None:
            added.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    if not added:
        return url, unknown
    return f"{base}?{query}{'&' if mark and query else ''}{urlencode(added, quote_via=quote)}", unknown


def _with_defaults(found: dict[str, Any]) -> dict[str, Any]:
    found.setdefault("application_name", "celeriac")
    found.setdefault("client_encoding", "utf8")
    if "," in str(found.get("host", "")):
        found.setdefault("target_session_attrs", "read-write")
    # A line that is cut says nothing; these let the system find out within some 20 seconds even when we only wait.
    for name, value in (("keepalives_idle", 10), ("keepalives_interval", 5), ("keepalives_count", 2)):
        found.setdefault(name, value)
    return found


def _why(names: list[str], said: str) -> str:
    for name in names:
        if f'"{name}"' in said:
            near = difflib.get_close_matches(name, [*OWN, *_COMMON], n=1)
            guess = f"; did you mean {near[0]!r}?" if near else "."
            return f"unknown parameter {name!r}{guess} Celeriac's own are {', '.join(OWN)}; the others are libpq's"
    # What libpq says may repeat a part of the URL.
    return (
        "not a URL of PostgreSQL's form postgresql://user:password@host:5432/database (/, @, : in a password: %2F, ...)"
    )


def _schema(shown: str, name: str) -> str:
    if not SCHEMA_NAME.match(name) or name.startswith("pg_"):
        raise ImproperlyConfigured(
            f"{shown!r}: schema={name} must be at most 40 letters, digits and _, not beginning with a digit or pg_"
        )
    return name
