"""What a Redis or Valkey URL says.

The forms are those of Celery and redis-py, so that a project's URL works as it is:

- ``redis://[[user]:password@]host[:port][/db]``, ``rediss://`` for TLS; ``valkey://`` and ``valkeys://`` are the same
- ``redis+socket:///path``, ``unix:///path``
- ``sentinel://host[:port];sentinel://host[:port]/db?master_name=name``
- ``redis+cluster://host[:port],host[:port]``, ``rediss+cluster://``

A parameter that is not known is an error, one that only matters to Celery's client is passed over.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, TypeVar, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode

from celeriac.brokers.parameters import parameter, seconds, switch, whole
from celeriac.brokers.redis.location import (
    CONNECT_TIMEOUT,
    MAX_CONNECTIONS,
    PORT,
    PREFIX,
    SENTINEL_PORT,
    TIMEOUT,
    Address,
    Location,
    Login,
    Mode,
    Tls,
)
from celeriac.core.redact import redact_url
from celeriac.errors import ImproperlyConfigured

T = TypeVar("T")

SCHEMES: Final[dict[str, tuple[Mode, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "valkey": ("single", False),
    "valkeys": ("single", True),
    "redis+socket": ("single", False),
    "unix": ("single", False),
    "sentinel": ("sentinel", False),
    "sentinels": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "valkey+cluster": ("cluster", False),
    "valkeys+cluster": ("cluster", True),
}
"""Each scheme, what is at the other end, and whether TLS is spoken."""

PARAMETERS: Final = (
    "client_name",
    "cluster",
    "connect_timeout",
    "db",
    "master_name",
    "max_connections",
    "partitions",
    "password",
    "prefix",
    "sentinel_password",
    "sentinel_username",
    "ssl",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "timeout",
    "username",
)
SYNONYMS: Final = {
    "global_keyprefix": "prefix",
    "service_name": "master_name",
    "socket_connect_timeout": "connect_timeout",
    "socket_timeout": "timeout",
    "virtual_host": "db",
    # The names in which Celery's broker_use_ssl and redis_backend_use_ssl are also written.
    "ca_certs": "ssl_ca_certs",
    "cert_reqs": "ssl_cert_reqs",
    "certfile": "ssl_certfile",
    "check_hostname": "ssl_check_hostname",
    "keyfile": "ssl_keyfile",
}
"""Names that Celery or redis-py has for a parameter."""
PASSED_OVER: Final = frozenset(
    {
        "ack_emulation",
        "decode_responses",
        "encoding",
        "fanout_patterns",
        "fanout_prefix",
        "health_check_interval",
        "interval_max",
        "interval_start",
        "interval_step",
        "max_retries",
        "min_other_sentinels",
        "polling_interval",
        "priority_steps",
        "protocol",
        "queue_order_strategy",
        "retry_on_timeout",
        "retry_policy",
        "sep",
        "socket_keepalive",
        "socket_keepalive_options",
        "socket_read_size",
        "unacked_index_key",
        "unacked_key",
        "unacked_mutex_expire",
        "unacked_mutex_key",
        "unacked_restore_limit",
        "visibility_timeout",
    }
)
"""Options of Celery's client for what Celeriac does in another way."""

LONGEST_TIMEOUT: Final = 3600.0
_PREFIX: Final = re.compile(r"[^\s{}]{1,100}")
_CERT_REQS: Final = {
    "required": "required",
    "cert_required": "required",
    "2": "required",
    "optional": "optional",
    "cert_optional": "optional",
    "1": "optional",
    "none": "none",
    "cert_none": "none",
    "0": "none",
}


def parse(url: str) -> Location:
    """Return what the URL says.

    Raises:
        ImproperlyConfigured: It is not one of the forms, or a parameter is unknown or wrong. No password is repeated.
    """
    return _Reader(url).location()


def place(url: str) -> str:
    """Return what identifies the store: the same text for two URLs of one store, as far as that can be told."""
    location = parse(url)
    where = ",".join(sorted(map(str, location.addresses)))
    return f"{location.mode} {location.master or ''} {where} {location.db} {location.prefix} {location.partitions}"


def merge(url: str, options: Mapping[str, Any], tls: Any = None) -> tuple[str, list[tuple[str, str | None]]]:
    """Return the URL with the options of settings as further parameters, and each unknown option with a likely one.

    What the URL itself says counts more.

    Args:
        url: The URL.
        options: The value of ``broker_transport_options`` or ``result_backend_transport_options``.
        tls: The value of ``broker_use_ssl`` or ``redis_backend_use_ssl``.
    """
    base, mark, query = url.partition("?")
    told = {SYNONYMS.get(name, name) for name, _ in parse_qsl(query, keep_blank_values=True)}
    added: dict[str, str] = {}
    unknown: list[tuple[str, str | None]] = []
    for name, value in _flat(options, tls):
        known = SYNONYMS.get(name, name)
        if known in PARAMETERS:
            if known not in told and value is not None:
                added[known] = _text(value)
        elif name not in PASSED_OVER:
            unknown.append((name, _near(name)))
    if not added:
        return url, unknown
    return f"{base}?{query}{'&' if mark and query else ''}{urlencode(added, quote_via=quote)}", unknown


def _flat(options: Mapping[str, Any], tls: Any) -> Iterable[tuple[str, Any]]:
    for name, value in options.items():
        if name == "sentinel_kwargs" and isinstance(value, Mapping):
            for inner, secret in cast("Mapping[str, Any]", value).items():
                yield (f"sentinel_{inner}" if inner in ("username", "password") else inner), secret
        else:
            yield name, value
    if tls:
        yield "ssl", True
        if isinstance(tls, Mapping):
            yield from cast("Mapping[str, Any]", tls).items()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # A member of an enumeration of numbers (ssl.CERT_REQUIRED) is written as its number.
    return str(int(value)) if isinstance(value, int) else str(value)


class _Reader:
    """Reads one URL."""

    def __init__(self, url: str) -> None:
        self._shown: Final = redact_url(url)
        self._scheme: Final = url.partition("://")[0].lower()
        base, _, query = url.partition("?")
        self._base: Final = base
        self._options: Final = self._read_options(query)

    def location(self) -> Location:
        mode, secure = SCHEMES[self._scheme]
        if self._option("cluster", switch, default=mode == "cluster"):
            if mode == "sentinel":
                self._fail("cluster=true and Sentinels exclude each other")
            mode = "cluster"
        path, login = "", Login()
        if self._scheme in ("redis+socket", "unix"):
            addresses, login, db = self._socket()
        else:
            addresses, login, path = self._places(SENTINEL_PORT if mode == "sentinel" else PORT, mode)
            db = self._database(path)
        if mode == "cluster" and db:
            self._fail(f"a Cluster has no database but 0, and this names {db}")
        options = self._options
        login = Login(options.get("username", login.username), options.get("password", login.password))
        return Location(
            mode=mode,
            addresses=addresses,
            db=db,
            login=login,
            sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
            tls=self._tls() if self._option("ssl", switch, default=secure) else None,
            master=self._master() if mode == "sentinel" else None,
            prefix=self._prefix(),
            partitions=self._option("partitions", whole(1, 1024), default=1),
            timeout=self._option("timeout", seconds(LONGEST_TIMEOUT), default=TIMEOUT),
            connect_timeout=self._option("connect_timeout", seconds(LONGEST_TIMEOUT), default=CONNECT_TIMEOUT),
            max_connections=self._option("max_connections", whole(1, 10_000), default=MAX_CONNECTIONS),
            client_name=options.get("client_name"),
        )

    # Places

    def _places(self, port: int, mode: Mode) -> tuple[tuple[Address, ...], Login, str]:
        """Return the addresses, the login and the path of ``scheme://login@a,b/path;scheme://c``."""
        found: list[Address] = []
        login, path = Login(), ""
        for part in self._base.split(";"):
            scheme, separator, rest = part.partition("://")
            if separator and scheme.lower() != self._scheme:
                self._fail("all the addresses must have the same scheme")
            authority, _, tail = (rest if separator else part).partition("/")
            user, _, hosts = authority.rpartition("@")
            path = tail or path
            if user:
                login = _login(user)
            found += [self._address(host, port, sentinel=mode == "sentinel") for host in hosts.split(",")]
        if mode == "single" and len(found) > 1:
            self._fail(
                "several servers need to know of each other: use sentinel:// for servers watched by Sentinels, or"
                " redis+cluster:// for a Cluster"
            )
        return tuple(found), login, path

    def _address(self, text: str, port: int, *, sentinel: bool) -> Address:
        host, number = text, ""
        if text.startswith("["):
            host, _, number = text[1:].partition("]")
            number = number.removeprefix(":")
        elif ":" in text:
            host, _, number = text.rpartition(":")
            if ":" in host:
                self._fail("a host that is an IPv6 number is written in brackets, as in redis://[::1]:6379/0")
        if number and not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
            # The text may be the end of a password with a character that should have been quoted.
            self._fail(
                "the port must be a number from 1 to 65535; characters such as / @ : ? # in a password are written as"
                " %2F %40 %3A %3F %23"
            )
        return Address(unquote(host) or "localhost", int(number) if number else port, sentinel)

    def _socket(self) -> tuple[tuple[Address, ...], Login, int]:
        rest = self._base.partition("://")[2]
        user, at, path = rest.rpartition("@") if "@" in rest.partition("/")[0] else ("", "", rest)
        if not path.startswith("/"):
            self._fail("the path of a socket begins with a slash, as in redis+socket:///run/redis/redis.sock")
        return (Address(unquote(path), 0),), _login(user) if at else Login(), self._database("")

    def _database(self, path: str) -> int:
        named = self._options.get("db", "")
        text = path.strip("/") or named.strip("/")
        if path.strip("/") and named and path.strip("/") != named:
            self._fail("the database is named twice, in the path and as db=")
        if text and not (text.isascii() and text.isdigit()):
            self._fail(f"the database must be a number, as in redis://localhost:6379/0, and this is {text!r}")
        return int(text) if text else 0

    # Parameters

    def _read_options(self, query: str) -> dict[str, str]:
        options: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            known = SYNONYMS.get(name, name)
            if known in PARAMETERS:
                options[known] = value
            elif name not in PASSED_OVER:
                near = _near(name)
                guess = f"; did you mean {near!r}?" if near else "."
                self._fail(f"unknown parameter {name!r}{guess} Known parameters are {', '.join(PARAMETERS)}")
        return options

    def _option(self, name: str, read: Callable[[str], T], *, default: T) -> T:
        text = self._options.get(name)
        return default if text is None else parameter(self._shown, name, text, read)

    def _master(self) -> str:
        name = self._options.get("master_name")
        if not name:
            self._fail(
                "Sentinels must be told which master is meant: add ?master_name=mymaster, the name in their"
                ' configuration, or set broker_transport_options = {"master_name": ...}'
            )
        return name

    def _prefix(self) -> str:
        prefix = self._options.get("prefix", PREFIX)
        if not _PREFIX.fullmatch(prefix):
            self._fail(f"prefix={prefix} must be 1 to 100 characters without blanks and braces")
        return prefix

    def _tls(self) -> Tls:
        options = self._options
        reqs = options.get("ssl_cert_reqs", "required")
        known = _CERT_REQS.get(reqs.lower().rpartition(".")[2])
        if known is None:
            self._fail(f"ssl_cert_reqs={reqs} must be required, optional or none")
        return Tls(
            cert_reqs=cast("Any", known),
            ca_certs=options.get("ssl_ca_certs"),
            certfile=options.get("ssl_certfile"),
            keyfile=options.get("ssl_keyfile"),
            check_hostname=self._option("ssl_check_hostname", switch, default=known != "none"),
        )

    def _fail(self, what: str) -> NoReturn:
        raise ImproperlyConfigured(f"{self._shown!r}: {what}")


def _near(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, [*PARAMETERS, *SYNONYMS], n=1)), None)


def _login(text: str) -> Login:
    user, colon, password = text.partition(":")
    return Login(unquote(user) or None, unquote(password) if colon else None)
