"""Brokers: from a URL to a driver.

The table below is the only place that knows which driver serves which scheme. A driver's module is imported with the
first URL that needs it, so that nobody pays for, or needs to install, what another scheme uses.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.brokers.port import AnyDriver
from celeriac.core.clock import SYSTEM, Clock
from celeriac.core.queues import QueuePlan, declared, is_broadcast, name_of
from celeriac.core.redact import redact_url
from celeriac.errors import ImproperlyConfigured

__all__ = [
    "connect",
    "known_schemes",
    "needs",
    "no_driver",
    "open_async_broker",
    "open_broker",
    "place",
    "split",
    "with_options",
]


REDIS_SCHEMES: Final = (
    "redis",
    "rediss",
    "redis+cluster",
    "redis+socket",
    "rediss+cluster",
    "sentinel",
    "sentinels",
    "unix",
    "valkey",
    "valkey+cluster",
    "valkeys",
    "valkeys+cluster",
)
NO_QUEUES: Final = QueuePlan()
RABBITMQ_SCHEMES: Final = ("amqp", "amqps", "pyamqp", "rabbitmq")
POSTGRES_SCHEMES: Final = ("postgres", "postgresql", "postgresql+psycopg")


def _memory(url: str, clock: Clock) -> AnyDriver:
    from celeriac.brokers.memory.driver import MemoryDriver, shared_store

    _, rest = split(url)
    name, query, _ = rest.partition("?")
    if query:
        raise ImproperlyConfigured(
            f"broker URL {redact_url(url)!r}: memory:// takes a name and no parameters, as in memory://tests"
        )
    return MemoryDriver(shared_store(name.strip("/"), clock))


def _sqlite(url: str, clock: Clock) -> AnyDriver:
    from celeriac.brokers.sqlite.driver import SqliteDriver
    from celeriac.brokers.sqlite.url import parse

    return SqliteDriver(parse(url), clock)


def _redis(url: str, clock: Clock) -> AnyDriver:
    with needs("redis", "redis", "hiredis"):
        from celeriac.brokers.redis.driver import RedisDriver
    from celeriac.brokers.redis.url import parse

    return RedisDriver(parse(url))  # The server has the clock.


def _postgres(url: str, clock: Clock) -> AnyDriver:
    with needs("postgres", "psycopg"):
        from celeriac.brokers.postgres.driver import PostgresDriver
    from celeriac.brokers.postgres.url import parse

    return PostgresDriver(parse(url))  # The server has the clock.


@contextlib.contextmanager
def needs(extra: str, *packages: str) -> Generator[None]:
    """Say which extra brings the packages of a client that is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in packages:
            raise
        raise ImproperlyConfigured(
            f"this broker or result backend URL needs the package {exc.name!r}: pip install 'celeriac[{extra}]'"
        ) from exc


_DRIVERS: Final[dict[str, Callable[[str, Clock], AnyDriver]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    **dict.fromkeys(REDIS_SCHEMES, _redis),
    **dict.fromkeys(POSTGRES_SCHEMES, _postgres),
}

_RESULTS_ONLY: Final = ("rpc", "db", "disabled")
"""What begins the URL of a result store alone."""


def known_schemes() -> str:
    """Return the schemes that this version serves, as text for people."""
    return ", ".join(f"{scheme}://" for scheme in sorted([*_DRIVERS, *RABBITMQ_SCHEMES]))


def split(url: str) -> tuple[str, str]:
    """Return the scheme of a URL, in lower case, and what follows ``://``.

    Raises:
        ImproperlyConfigured: There is no scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme:
        # The text may hold a password, so it is not repeated.
        raise ImproperlyConfigured(
            f"a broker or result backend URL must begin with a scheme; known are {known_schemes()}"
            " (for instance sqlite:///celeriac.db)"
        )
    return scheme.lower(), rest


def no_driver(kind: str, scheme: str, known: str) -> ImproperlyConfigured:
    """Return the error for a scheme without a driver; it names the known ones."""
    if scheme.partition("+")[0] in _RESULTS_ONLY:
        return ImproperlyConfigured(
            f"{kind} URL {scheme}://...: that is the URL of a result backend, and not of a broker. Known are {known}"
        )
    near = difflib.get_close_matches(scheme.rpartition("+")[2], [*_DRIVERS, *RABBITMQ_SCHEMES], n=1)
    guess = f"; did you mean {near[0]}://?" if near else "."
    return ImproperlyConfigured(f"{kind} URL {scheme}://...: unknown scheme{guess} Known schemes are {known}")


def place(url: str) -> tuple[str, str]:
    """Return the scheme and what identifies the store within it; equal for two URLs of the same store.

    Raises:
        ImproperlyConfigured: The URL is wrong.
    """
    scheme, rest = split(url)
    if scheme == "sqlite":
        from celeriac.brokers.sqlite.url import parse

        return scheme, os.path.realpath(parse(url).path)
    if scheme in REDIS_SCHEMES:
        from celeriac.brokers.redis.url import place as redis_place

        return "redis", redis_place(url)
    if scheme in POSTGRES_SCHEMES:
        from celeriac.brokers.postgres.url import parse as parse_postgres

        return "postgresql", parse_postgres(url).place
    return scheme, rest.partition("?")[0].rstrip("/")


def with_options(url: str, options: Mapping[str, Any], tls: Any = None) -> tuple[str, list[tuple[str, str | None]]]:
    """Return the URL with options of settings as parameters, and each option that nobody knows with what may be meant.

    Drivers that take no options leave the URL as it is.

    Args:
        url: The URL; what it says itself counts more.
        options: The value of ``broker_transport_options`` or ``result_backend_transport_options``.
        tls: The value of ``broker_use_ssl`` or ``redis_backend_use_ssl``.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in REDIS_SCHEMES and (options or tls):
        from celeriac.brokers.redis.url import merge

        return merge(url, options, tls)
    if scheme in POSTGRES_SCHEMES and options:
        from celeriac.brokers.postgres.url import merge as merge_postgres

        return merge_postgres(url, options)
    return url, []


def pairs(broker_url: str, store_url: str | None) -> bool:
    """Tell whether this broker keeps what it cannot keep itself in a store of this URL."""
    if store_url is None or split(broker_url)[0] not in RABBITMQ_SCHEMES or "://" not in store_url:
        return False
    return split(store_url)[0] in _DRIVERS


def _rabbitmq(url: str, clock: Clock, store: str | None, queues: QueuePlan) -> AnyDriver:
    with needs("rabbitmq", "pamqp"):
        from celeriac.brokers.rabbitmq.driver import AloneDriver, PairedDriver
    from celeriac.brokers.rabbitmq.topology import topology
    from celeriac.brokers.rabbitmq.url import HEARTBEAT_OF_PAIR, parse

    if store is not None and pairs(url, store):
        location = parse(url, heartbeat=HEARTBEAT_OF_PAIR)
        return PairedDriver(location, connect(store, clock=clock), topology(queues, location.queue_type))
    location = parse(url)
    return AloneDriver(location, topology(queues, location.queue_type))


def connect(url: str, *, clock: Clock = SYSTEM, store: str | None = None, queues: QueuePlan = NO_QUEUES) -> AnyDriver:
    """Return the driver for a broker URL. Nothing is opened or read yet.

    Args:
        url: ``redis://host:6379/0`` (see :mod:`celeriac.brokers.redis.url` for more forms), ``sqlite:///relative.db``,
            ``sqlite:////absolute.db``, ``memory://name``, ``amqp://user:password@host/vhost``.
        clock: What the store takes for the time.
        store: URL of the result store; a broker that pairs with one (:func:`pairs`) keeps there what it cannot keep.
        queues: What the settings say about queues, for a broker that routes.

    Raises:
        ImproperlyConfigured: The scheme is not known, or the rest of the URL is wrong.
    """
    scheme, _ = split(url)
    if scheme in RABBITMQ_SCHEMES:
        return _rabbitmq(url, clock, store, queues)
    make = _DRIVERS.get(scheme)
    if make is None:
        raise no_driver("broker", scheme, known_schemes())
    broadcast = [name_of(one) for one in declared(queues.queues) if is_broadcast(one)]
    if broadcast:
        raise ImproperlyConfigured(
            f"task_queues: only RabbitMQ has broadcast queues, as {broadcast[0]!r}; the broker is {scheme}://"
        )
    return make(url, clock)


def open_broker(url: str, *, clock: Clock = SYSTEM) -> SyncBroker[Any, Any]:
    """Return a blocking broker for a URL; see :func:`connect`."""
    return SyncBroker(connect(url, clock=clock))


def open_async_broker(url: str, *, clock: Clock = SYSTEM) -> AsyncBroker[Any, Any]:
    """Return an awaiting broker for a URL; see :func:`connect`."""
    return AsyncBroker(connect(url, clock=clock))
