"""Signal: receivers in user code that are called where something happens, with Celery's way of connecting them.

A receiver that raises is logged with its traceback and harms nobody. Who sends looks at :attr:`Signal.receivers`
first, so that a signal without receivers costs one attribute.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, TypeVar, overload

from celeriac.errors import CeleriacWarning

F = TypeVar("F", bound=Callable[..., Any])

RETRY_PAUSES: Final = (2.0, 4.0, 6.0, 8.0, 10.0)
"""Seconds before each further call of a receiver that was connected with ``retry=True``; the last one repeats."""

_logger = logging.getLogger("celeriac.signals")


class _Receiver(NamedTuple):
    """One connection."""

    key: Hashable
    sender: Any
    find: Callable[[], Callable[..., Any] | None]
    """Returns what is to be called; None if it is gone."""
    retry: bool


class Signal:
    """One kind of occasion.

    Args:
        name: Its name.
        never: Why nothing sends it; connecting to it warns. None for a signal that is sent.

    Attributes:
        receivers: Who is connected; empty if nobody is.
    """

    def __init__(self, name: str, *, never: str | None = None) -> None:
        self.name = name
        self.never = never
        self.receivers: tuple[_Receiver, ...] = ()
        self._lock = threading.Lock()
        self.sleep: Callable[[float], None] = time.sleep

    @overload
    def connect(
        self, receiver: F, sender: Any = None, weak: bool = True, dispatch_uid: Hashable = None, retry: bool = False
    ) -> F: ...
    @overload
    def connect(
        self, *, sender: Any = None, weak: bool = True, dispatch_uid: Hashable = None, retry: bool = False
    ) -> Callable[[F], F]: ...
    def connect(
        self,
        receiver: Any = None,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Hashable = None,
        retry: bool = False,
    ) -> Any:
        """Call a function whenever the signal is sent; also a decorator, with or without arguments.

        Args:
            receiver: A callable that takes keyword arguments (``**kwargs``).
            sender: Call it only for this sender: a task, or the name of one where the sender is a name. None: for all.
            weak: Hold it weakly, so that it is disconnected when nothing else holds it.
            dispatch_uid: What identifies it; a second connection with the same one and sender changes nothing.
            retry: Call it again, after 2 to 10 seconds, until it does not raise. The sender waits for that.

        Raises:
            TypeError: It cannot be called.
            ValueError: It does not take keyword arguments.
        """
        if receiver is None:

            def decorate(one: F) -> F:
                return self.connect(one, sender, weak, dispatch_uid, retry)

            return decorate
        if not callable(receiver):
            raise TypeError(f"a receiver of signal {self.name} must be callable, not {receiver!r:.200}")
        if not _takes_keywords(receiver):
            raise ValueError(
                f"receiver {receiver!r:.200} of signal {self.name} must take keyword arguments: add **kwargs"
            )
        if self.never is not None:
            warnings.warn(f"signal {self.name} is never sent: {self.never}", CeleriacWarning, stacklevel=2)
        key = _key(receiver) if dispatch_uid is None else dispatch_uid
        found = _Receiver(key, sender, self._finder(receiver) if weak and not retry else lambda: receiver, retry)
        with self._lock:
            if not any(one.key == key and _same(one.sender, sender) for one in self.receivers):
                self.receivers = (*self.receivers, found)
        return receiver

    def disconnect(
        self, receiver: Any = None, sender: Any = None, weak: bool | None = None, dispatch_uid: Hashable = None
    ) -> bool:
        """Call a receiver no more; return whether it was connected.

        Args:
            receiver: What was connected; need not be given where ``dispatch_uid`` is.
            sender: As when it was connected.
            weak: Of no meaning; accepted because Celery's takes it.
            dispatch_uid: As when it was connected.
        """
        key = _key(receiver) if dispatch_uid is None else dispatch_uid
        with self._lock:
            left = tuple(one for one in self.receivers if not (one.key == key and _same(one.sender, sender)))
            found = len(left) < len(self.receivers)
            self.receivers = left
        return found

    def has_listeners(self, sender: Any = None) -> bool:
        """Return whether anybody is connected for this sender."""
        return any(_fits(one, sender) and one.find() is not None for one in self.receivers)

    def send(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        """Call the receivers, in the order in which they were connected.

        Args:
            sender: Who sends.
            **named: What they are told.

        Returns:
            Each receiver with what it returned, or with the exception that it raised.
        """
        responses: list[tuple[Any, Any]] = []
        for one in self.receivers:
            if not _fits(one, sender):
                continue
            receiver = one.find()
            if receiver is not None:
                responses.append((receiver, self._call(one, receiver, {"signal": self, "sender": sender, **named})))
        return responses

    send_robust = send

    def _call(self, one: _Receiver, receiver: Callable[..., Any], named: dict[str, Any]) -> Any:
        tries = 0
        while True:
            try:
                return receiver(**named)
            except (Exception, SystemExit) as exc:  # sys.exit() in a receiver must not end a worker.
                _logger.error("receiver %s of signal %s raised", _described(receiver), self.name, exc_info=exc)
                if not one.retry or isinstance(exc, SystemExit):
                    return exc
            self.sleep(RETRY_PAUSES[min(tries, len(RETRY_PAUSES) - 1)])
            tries += 1

    def _finder(self, receiver: Any) -> Callable[[], Callable[..., Any] | None]:
        reference: weakref.ref[Any]
        if inspect.ismethod(receiver):
            reference = weakref.WeakMethod(receiver, self._forget)
        else:
            reference = weakref.ref(receiver, self._forget)
        return reference

    def _forget(self, reference: weakref.ref[Any]) -> None:
        # Without the lock, which this thread may hold: a collection may begin anywhere.
        self.receivers = tuple(one for one in self.receivers if one.find is not reference)

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


def _key(receiver: Any) -> Hashable:
    if inspect.ismethod(receiver):
        return id(receiver.__self__), id(receiver.__func__)
    return id(receiver)


def _same(left: Any, right: Any) -> bool:
    return left is right or (left is not None and right is not None and bool(left == right))


def _fits(one: _Receiver, sender: Any) -> bool:
    return one.sender is None or _same(one.sender, sender)


def _takes_keywords(receiver: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # Something of C's that does not tell.
        return True
    return any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)


def _described(receiver: Any) -> str:
    try:
        return f"{receiver.__module__}.{receiver.__qualname__}"
    except AttributeError:
        return f"of type {type(receiver).__qualname__}"
