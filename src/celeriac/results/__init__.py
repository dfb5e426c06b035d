"""Result stores: from a URL to a store, and what callers hold in their hands.

A broker that keeps results (:class:`~celeriac.brokers.port.Capabilities`) is a result store as it stands. Where the
broker's URL and the backend's name the same store (:func:`same_store`), finishing a task is one atomic step; elsewhere
the result is stored first.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from celeriac import brokers
from celeriac.brokers.facade import AsyncResultCalls, Store, SyncResultCalls
from celeriac.core.clock import SYSTEM, Clock
from celeriac.errors import ImproperlyConfigured
from celeriac.results.disabled import DisabledStore

__all__ = [
    "AsyncResults",
    "SyncResults",
    "connect",
    "known_schemes",
    "open_async_results",
    "open_results",
    "same_store",
]

SyncResults: TypeAlias = SyncResultCalls[Any]
"""A result store behind blocking calls: store, progress, fetch, discard, waiter, close. A SyncBroker is one."""
AsyncResults: TypeAlias = AsyncResultCalls[Any]
"""The awaiting twin of SyncResults; an AsyncBroker is one."""

_BROKERS: Final = ("memory", *brokers.POSTGRES_SCHEMES, *brokers.REDIS_SCHEMES, "sqlite")
_DISABLED: Final = "disabled"


def known_schemes() -> str:
    """Return the schemes that this version serves, as text for people."""
    return ", ".join(f"{scheme}://" for scheme in sorted([*_BROKERS, _DISABLED]))


def connect(url: str | None, *, clock: Clock = SYSTEM) -> Store[Any]:
    """Return the result store for a URL. Nothing is opened or read yet.

    Args:
        url: A broker's URL, or ``disabled://`` or None for a store that keeps nothing.
        clock: What the store takes for the time.

    Raises:
        ImproperlyConfigured: The scheme is not known, or the rest of the URL is wrong.
    """
    scheme = _scheme(url)
    if url is None or scheme == _DISABLED:
        return DisabledStore()
    if scheme in _BROKERS:
        return brokers.connect(url, clock=clock)
    if scheme in brokers.RABBITMQ_SCHEMES:
        raise ImproperlyConfigured(
            f"result backend URL {scheme}://...: RabbitMQ keeps no results; use one of {known_schemes()}"
        )
    raise brokers.no_driver("result backend", scheme, known_schemes())


def open_results(url: str | None, *, clock: Clock = SYSTEM) -> SyncResults:
    """Return a blocking result store for a URL; see :func:`connect`."""
    return SyncResults(connect(url, clock=clock))


def open_async_results(url: str | None, *, clock: Clock = SYSTEM) -> AsyncResults:
    """Return an awaiting result store for a URL; see :func:`connect`."""
    return AsyncResults(connect(url, clock=clock))


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
