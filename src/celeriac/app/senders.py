"""What calls of enqueue are sent as, so that a store knows one that is repeated after a lost reply.

Each call is made as a sender that no other call is made as at the same time, and gives it back once it was answered. A
call that failed, or was interrupted, keeps its sender for good: it may still arrive, and must not meet the number of a
later one.
"""

from __future__ import annotations

import os
import secrets

from celeriac.brokers.port import Sending


class Senders:
    """The senders of one process: as many as calls were ever under way at once. Safe to share between threads."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._free: list[Sending] = []

    def next(self) -> Sending:
        """Return what the next call is to be sent as."""
        if self._pid != os.getpid():  # A forked child has a copy, and its parent goes on with the senders in it.
            self._begin()
        try:
            last = self._free.pop()
        except IndexError:
            return Sending(secrets.token_urlsafe(12), 1)
        return Sending(last.sender, last.number + 1)

    def answered(self, sending: Sending) -> None:
        """Give back the sender of a call that the store has answered."""
        self._free.append(sending)
