"""Moments in an app's life at which functions of the user's are called: ``app.on_after_configure``."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

Receiver = TypeVar("Receiver", bound=Callable[..., Any])

_log: Final = logging.getLogger("celeriac.signals")


class Moment:
    """A moment that comes once. Who connects after it is called at once.

    Args:
        sender: The app, which receivers are given as ``sender``.
    """

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._receivers: list[Callable[..., Any]] = []
        self._passed: dict[str, Any] | None = None
        """What receivers were told when it came."""

    @overload
    def connect(self, receiver: Receiver, /) -> Receiver: ...
    @overload
    def connect(self, **options: Any) -> Callable[[Receiver], Receiver]: ...
    def connect(self, *receivers: Any, **options: Any) -> Any:
        """Have a function called as ``function(signal=moment, sender=app, ...)``: ``@moment.connect``.

        Args:
            *receivers: The function; it must end in ``**kwargs``.
            **options: Celery's (``weak``, ``sender``, ``dispatch_uid``); they change nothing: a function is kept.
        """
        if not receivers:
            return self.connect
        (receiver,) = receivers
        if self._passed is not None:
            receiver(signal=self, sender=self._sender, **self._passed)
        elif receiver not in self._receivers:
            self._receivers.append(receiver)
        return receiver

    def disconnect(self, receiver: Callable[..., Any]) -> bool:
        """Call a function no more; return whether it would have been called."""
        if receiver not in self._receivers:
            return False
        self._receivers.remove(receiver)
        return True

    def come(self, **named: Any) -> None:
        """Call all receivers. If one raises, the moment has not passed yet, and all are called again next time.

        Args:
            **named: What they are told besides the sender.
        """
        for receiver in list(self._receivers):
            receiver(signal=self, sender=self._sender, **named)
        self._passed = named


class AfterFork(Moment):
    """A moment that comes in each process that is forked from one that has the app, or started to run its tasks.

    A receiver that raises is logged, and stops nothing.
    """

    def __init__(self, sender: Any) -> None:
        super().__init__(sender)
        self._came = 0

    def connect(self, *receivers: Any, **options: Any) -> Any:
        """Have a function called: see :meth:`Moment.connect`."""
        if receivers and not self._receivers and hasattr(os, "register_at_fork"):
            mine = weakref.WeakMethod(self.come)
            os.register_at_fork(after_in_child=lambda: _call(mine))
        return super().connect(*receivers, **options)

    def come(self, **named: Any) -> None:
        """Call all receivers, once in each process."""
        if self._came == os.getpid():
            return
        self._came = os.getpid()
        for receiver in list(self._receivers):
            try:
                receiver(signal=self, sender=self._sender, **named)
            except Exception:
                _log.exception("receiver %r of on_after_fork raised", receiver)


def _call(method: weakref.WeakMethod[Callable[..., None]]) -> None:
    found = method()
    if found is not None:
        found()
