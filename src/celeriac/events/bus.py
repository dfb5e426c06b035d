"""Emit and subscribe, inside one process.

An event without a subscriber costs one dictionary look-up where the emitter asks :meth:`Bus.wanted` first, so that it
need not even be made. A subscriber that raises is reported once per kind of error and never harms the emitter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from celeriac.events.names import Event

E = TypeVar("E", bound=Event)

_logger = logging.getLogger("celeriac.events")


class Bus:
    """Subscribers by type of event."""

    def __init__(self) -> None:
        self._subscribers: dict[type[Event], tuple[Callable[[Any], None], ...]] = {}
        self._reported: set[tuple[str, type[BaseException]]] = set()
        self._at_flush: tuple[Callable[[], None], ...] = ()

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> Callable[[], None]:
        """Call ``subscriber`` with each event of exactly this type; return a function that ends it."""
        self._subscribers[kind] = (*self._subscribers.get(kind, ()), subscriber)

        def unsubscribe() -> None:
            left = tuple(one for one in self._subscribers.get(kind, ()) if one is not subscriber)
            if left:
                self._subscribers[kind] = left
            else:
                self._subscribers.pop(kind, None)

        return unsubscribe

    def wanted(self, kind: type[Event]) -> bool:
        """Return whether anybody subscribed to this type."""
        return kind in self._subscribers

    def emit(self, event: Event) -> None:
        """Call the subscribers of the event's type, in the order they subscribed."""
        for subscriber in self._subscribers.get(type(event), ()):
            try:
                subscriber(event)
            except Exception as exc:
                self._report(subscriber, exc)

    def at_flush(self, write: Callable[[], None]) -> None:
        """Call ``write`` at each :meth:`flush`; a subscriber that gathers what it writes down needs it."""
        self._at_flush = (*self._at_flush, write)

    def flush(self) -> None:
        """Let subscribers write down what they have gathered: somebody is about to rely on what was emitted."""
        for write in self._at_flush:
            try:
                write()
            except Exception as exc:
                self._report(write, exc)

    def _report(self, subscriber: Callable[..., None], exc: Exception) -> None:
        key = (repr(subscriber), type(exc))
        if key not in self._reported:
            self._reported.add(key)
            _logger.error(
                "subscriber %r failed; further failures of this kind are not logged", subscriber, exc_info=exc
            )
