"""Keeps SQLite connections out of forked processes.

SQLite keeps account of its file locks inside the process, and a fork copies that account but not the locks: a child
that inherits an open connection, even one that it never uses, may damage the file. So no connection is open while the
process forks: every guarded object is locked and closed before, and opens again when it is next used, in the parent and
in the child alike.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Guarded(Protocol):
    """Something with a SQLite connection."""

    @property
    def lock(self) -> threading.RLock:
        """Held by whoever uses the connection."""
        ...

    def disconnect(self) -> None:
        """Close the connection; the caller holds the lock."""
        ...


_guarded: WeakSet[Guarded] = WeakSet()
_registering = threading.Lock()
_held: list[Guarded] = []


def guard(guarded: Guarded) -> None:
    """Close this object's connection around forks, for as long as the object lives."""
    with _registering:
        _guarded.add(guarded)


def _before_fork() -> None:
    _registering.acquire()
    _held.extend(_guarded)
    for guarded in _held:
        guarded.lock.acquire()
    for guarded in _held:
        guarded.disconnect()


def _after_fork() -> None:
    for guarded in _held:
        guarded.lock.release()
    _held.clear()
    _registering.release()


if hasattr(os, "register_at_fork"):  # Where it is missing there is no fork.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
