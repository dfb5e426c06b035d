"""Result stores: from a URL to a store, and what callers hold in their hands.

A broker that keeps results (:class:`~celeriac.brokers.port.Capabilities`) is a result store as it stands. Where the
broker's URL and the backend's name the same store (:func:`same_store`), finishing a task is one atomic step; elsewhere
the result is stored first. Any database that SQLAlchemy reaches is a result store alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from celeriac import brokers
from celeriac.brokers.facade import AsyncResultCalls, Store, SyncResultCalls
from celeriac.core.clock import SYSTEM, Clock
from celeriac.errors import ImproperlyConfigured
from celeriac.results.disabled import DisabledStore

__all__ = [
    "AsyncResults",
    "StoreOptions",
    "SyncResults",
    "answers_sender",
    "by_reply",
    "connect",
    "keeps_no_messages",
    "known_schemes",
    "open_async_results",
    "open_results",
    "same_store",
    "with_options",
]

SyncResults: TypeAlias = SyncResultCalls[Any]
"""A result store behind blocking calls: store, progress, fetch, discard, waiter, close. A SyncBroker is one."""
AsyncResults: TypeAlias = AsyncResultCalls[Any]
"""The awaiting twin of SyncResults; an AsyncBroker is one."""

_BROKERS: Final = ("memory", *brokers.POSTGRES_SCHEMES, *brokers.REDIS_SCHEMES, "sqlite")
_DISABLED: Final = "disabled"
_RPC: Final = tuple(f"rpc+{scheme}" for scheme in brokers.RABBITMQ_SCHEMES)
_NEEDS_RABBITMQ: Final = (
    "result backend URL rpc://: results go through the broker, which must be RabbitMQ (amqp://); with another broker,"
    " name a RabbitMQ server, as in rpc://user:password@host/vhost"
)
_DIALECTS: Final = ("mysql", "mariadb", "oracle", "mssql")
"""Databases that need SQLAlchemy, known without asking it."""


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say about a result store besides its URL.

    Attributes:
        engine: ``database_engine_options``.
        short_lived: ``database_short_lived_sessions``.
        tables: ``database_table_names``.
        schemas: ``database_table_schemas``.
        creates_tables: ``database_create_tables_at_setup``.
    """

    engine: Mapping[str, Any] = {}
    short_lived: bool = False
    tables: Mapping[str, Any] | None = None
    schemas: Mapping[str, Any] | None = None
    creates_tables: bool = True


NO_OPTIONS: Final = StoreOptions()


def known_schemes() -> str:
    """Return the schemes that this version serves, as text for people."""
    return ", ".join(
        [*(f"{scheme}://" for scheme in sorted([*_BROKERS, "rpc", _DISABLED])), "db+ and a URL of SQLAlchemy's"]
    )


def connect(url: str | None, *, clock: Clock = SYSTEM, options: StoreOptions = NO_OPTIONS) -> Store[Any]:
    """Return the result store for a URL. Nothing is opened or read yet.

    Args:
        url: A broker's URL, one of SQLAlchemy's with or without ``db+`` before it, or ``disabled://`` or None for a
            store that keeps nothing.
        clock: What the store takes for the time.
        options: More about the store.

    Raises:
        ImproperlyConfigured: The scheme is not known, or the rest of the URL is wrong.
    """
    scheme = _scheme(url)
    if url is None or scheme == _DISABLED:
        return DisabledStore()
    if scheme in _BROKERS:
        return brokers.connect(url, clock=clock)
    if scheme in _RPC:
        return _rpc(url, clock)
    if scheme == "rpc":
        raise ImproperlyConfigured(_NEEDS_RABBITMQ)
    if scheme in brokers.RABBITMQ_SCHEMES:
        raise ImproperlyConfigured(
            f"result backend URL {scheme}://...: RabbitMQ keeps no results; it can send them to whoever sent the task,"
            f" with rpc://, or use one of {known_schemes()}"
        )
    if _is_database(scheme):
        return _database(url, clock, options)
    raise brokers.no_driver("result backend", scheme, known_schemes())


def answers_sender(url: str | None) -> bool:
    """Tell whether results go as messages to whoever sent the task."""
    return _scheme(url) in _RPC


def by_reply(broker_url: str, backend_url: str | None) -> str | None:
    """Return the backend's URL; of ``rpc://``, which means the broker's server, with the name of that server.

    Raises:
        ImproperlyConfigured: That broker is no RabbitMQ.
    """
    if backend_url is None or _scheme(backend_url) != "rpc":
        return backend_url
    rest = backend_url.partition("://")[2]
    if rest.strip("/"):
        return f"rpc+amqp://{rest}"
    if brokers.split(broker_url)[0] not in brokers.RABBITMQ_SCHEMES:
        raise ImproperlyConfigured(_NEEDS_RABBITMQ)
    return f"rpc+{broker_url}"


def _rpc(url: str, clock: Clock) -> Store[Any]:
    with brokers.needs("rabbitmq", "pamqp"):
        from celeriac.brokers.rabbitmq.url import parse
        from celeriac.results.rpc.driver import RpcStore
    return RpcStore(parse(url.partition("+")[2]), clock)


def keeps_no_messages(url: str) -> bool:
    """Tell whether a URL is that of a result store alone, in which something can be looked at."""
    scheme = _scheme(url)
    return scheme in _RPC or _is_database(scheme)


def _is_database(scheme: str) -> bool:
    """Tell whether SQLAlchemy is to be asked for this scheme."""
    first, plus, dialect = scheme.partition("+")
    if plus and first in ("db", "database"):
        return bool(dialect)
    if scheme in _BROKERS or scheme in brokers.RABBITMQ_SCHEMES:
        return False
    if first in _DIALECTS:
        return True
    if importlib.util.find_spec("sqlalchemy") is None:
        return False
    from sqlalchemy.dialects import registry
    from sqlalchemy.exc import NoSuchModuleError

    try:
        registry.load(scheme.replace("+", "."))
    except (NoSuchModuleError, ImportError):
        return False
    return True


def _database(url: str, clock: Clock, options: StoreOptions) -> Store[Any]:
    with brokers.needs("sqlalchemy", "sqlalchemy"):
        from celeriac.results.database.driver import DatabaseStore
        from celeriac.results.database.url import Options, parse
    return DatabaseStore(
        parse(
            url,
            Options(
                engine=options.engine,
                short_lived=options.short_lived,
                table=(options.tables or {}).get("task"),
                schema=(options.schemas or {}).get("task"),
                installs=options.creates_tables,
            ),
        ),
        clock,
    )


def with_options(url: str, options: Mapping[str, Any], tls: Any = None) -> tuple[str, list[tuple[str, str | None]]]:
    """Return the URL with options of settings as parameters, and each option that nobody knows with what may be meant.

    Args:
        url: The URL; what it says itself counts more.
        options: The value of ``result_backend_transport_options``.
        tls: The value of ``redis_backend_use_ssl``.
    """
    if "://" in url and _is_database(_scheme(url)):
        with brokers.needs("sqlalchemy", "sqlalchemy"):
            from celeriac.results.database.url import merge

        return merge(url, options)
    return brokers.with_options(url, options, tls)


def open_results(url: str | None, *, clock: Clock = SYSTEM, options: StoreOptions = NO_OPTIONS) -> SyncResults:
    """Return a blocking result store for a URL; see :func:`connect`."""
    return SyncResults(connect(url, clock=clock, options=options))


def open_async_results(url: str | None, *, clock: Clock = SYSTEM, options: StoreOptions = NO_OPTIONS) -> AsyncResults:
    """Return an awaiting result store for a URL; see :func:`connect`."""
    return AsyncResults(connect(url, clock=clock, options=options))


def same_store(broker_url: str, backend_url: str | None) -> bool:
    """Tell whether the broker keeps what the backend keeps, so that settling stores the result in the same step.

    Parameters of the URLs do not matter: it is the same file, or the same name in memory. A broker that pairs with the
    store keeps results there, too.

    Raises:
        ImproperlyConfigured: A URL is wrong.
    """
    if backend_url is None or _scheme(backend_url) == _DISABLED:
        return False
    if brokers.pairs(broker_url, backend_url):
        return True
    return broker_url == backend_url or brokers.place(broker_url) == brokers.place(backend_url)


def _scheme(url: str | None) -> str:
    if url is None or url.rstrip(":/").lower() == _DISABLED:
        return _DISABLED
    return brokers.split(url)[0]
