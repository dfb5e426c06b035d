"""Keeps connections out of forked processes.

A child that speaks on its parent's socket, or closes it in the manner of TLS, breaks what the parent says there. So
everything that holds connections forgets them in the child. They are kept there unused, for closing them properly would
be felt by the parent.
"""

from __future__ import annotations

import os
from typing import Any, Final, Protocol
from weakref import WeakSet


class Inheriting(Protocol):
    """Something with connections."""

    def forget(self) -> object:
        """Begin anew, without connections, threads and held locks; return what there was."""
        ...


_inheriting: Final[WeakSet[Inheriting]] = WeakSet()
_kept: Final[list[Any]] = []


def guard(one: Inheriting) -> None:
    """Call its ``forget`` in every child that is forked while it lives."""
    _inheriting.add(one)


def _in_child() -> None:
    _kept.extend(one.forget() for one in list(_inheriting))


if hasattr(os, "register_at_fork"):  # Where it is missing there is no fork.
    os.register_at_fork(after_in_child=_in_child)
