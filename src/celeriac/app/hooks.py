"""Moments in an app's life at which functions of the user's are called: ``app.on_after_configure``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

Receiver = TypeVar("Receiver", bound=Callable[..., Any])


class Moment:
    """A moment that comes once. Who connects after it is called at once.

    Args:
        sender: The app, which receivers are given as ``sender``.
    """

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._receivers: list[Callable[..., Any]] = []
        self._passed = False

    @overload
    def connect(self, receiver: Receiver, /) -> Receiver: ...
    @overload
    def connect(self, **options: Any) -> Callable[[Receiver], Receiver]: ...
    def connect(self, *receivers: Any, **options: Any) -> Any:
        """Have a function called as ``function(sender=app)``: ``@moment.connect``.

        Args:
            *receivers: The function.
            **options: Celery's (``weak``, ``sender``, ``dispatch_uid``); they change nothing: a function is kept.
        """
        if not receivers:
            return self.connect
        (receiver,) = receivers
        if self._passed:
            receiver(sender=self._sender)
        elif receiver not in self._receivers:
            self._receivers.append(receiver)
        return receiver

    def disconnect(self, receiver: Callable[..., Any]) -> bool:
        """Call a function no more; return whether it would have been called."""
        if receiver not in self._receivers:
            return False
        self._receivers.remove(receiver)
        return True

    def come(self) -> None:
        """Call all receivers. If one raises, the moment has not passed yet, and all are called again next time."""
        for receiver in list(self._receivers):
            receiver(sender=self._sender)
        self._passed = True
