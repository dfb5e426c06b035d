"""One connection for each process that hears what is published, and wakes whoever waits for it.

Scripts publish when there may be something new (:mod:`celeriac.brokers.redis.keys`); nobody polls. However many waiters
there are in a process, blocking or awaiting, for tasks or for thousands of results: the server sees one connection, and
one thread here reads it. The thread begins with the first waiter and ends a while after the last.

Guarantees: an :class:`Ear` is woken once when the server has begun to listen for it, also after each loss of the
connection, so that whoever looks after each wake-up misses nothing. A connection whose other end has vanished is found
out in a few seconds. In a forked child everything begins anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from celeriac.brokers.redis import forks
from celeriac.brokers.redis.exchange import Lost, TimeUp, Unreached
from celeriac.brokers.redis.failures import translate
from celeriac.brokers.redis.links import Link
from celeriac.brokers.redis.location import PREFIX, Location
from celeriac.brokers.redis.performers import RedisPerformer
from celeriac.brokers.redis.requests import Refused
from celeriac.core.chance import SYSTEM_RNG
from celeriac.errors import BrokerError, CeleriacError

LINGER: Final = 10.0
"""Seconds for which the connection is kept after the last waiter has gone."""
PING_EVERY: Final = 5.0
"""Seconds of silence after which the server is asked whether it is there."""
PATIENCE: Final = 5.0
"""Seconds that it may take to answer."""
FIRST_REST: Final = 0.05
LONGEST_REST: Final = 2.0
"""Seconds between two attempts to connect; they double, each between half and whole of that."""
CHUNK: Final = 500
"""Channels in one command."""


class Ear:
    """What one waiter listens for.

    Args:
        channels: Their names.
        wake: Called in the hub's thread when something was heard.
    """

    def __init__(self, channels: Iterable[str], wake: Callable[[], None]) -> None:
        self.channels: Final = tuple({name.encode(): None for name in channels})
        self.wake: Final = wake
        self.awaited: set[bytes] = set()
        """Channels on which the server does not listen for it yet."""


class Hub:
    """The connection of this process to one server.

    Args:
        location: The server; its prefix and database do not matter.
    """

    def __init__(self, location: Location) -> None:
        self._location: Final = location
        self.failure: CeleriacError | None = None
        """Why the server refuses to let us listen, if it does."""
        forks.guard(self)
        self.forget()

    def forget(self) -> object:
        before = vars(self).copy()
        self._lock = threading.Lock()
        self._ears: dict[bytes, set[Ear]] = {}
        self._left: deque[Ear] = deque()
        self._thread: threading.Thread | None = None
        self._changed = True
        self._bell, self._push = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._push, False)
        self.life = object()
        """Another in each process: an ear that joined before a fork must join again."""
        return before

    def join(self, ear: Ear) -> None:
        """Wake this ear from now on."""
        with self._lock:
            ear.awaited = set()
            for channel in ear.channels:
                ears = self._ears.get(channel)
                if ears is None:
                    ears = self._ears[channel] = set()
                if channel not in self._heard:
                    ear.awaited.add(channel)
                ears.add(ear)
            self._changed = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="celeriac-redis-hub", daemon=True)
                self._thread.start()
        self._ring()

    def leave(self, ear: Ear) -> None:
        """Wake this ear no more. Takes no lock: it is also called when an ear is thrown away."""
        self._left.append(ear)
        self._ring()

    _heard: frozenset[bytes] | set[bytes] = frozenset()
    """Channels on which the server listens for us."""
    _served = False
    """Whether this connection has been of use: one that is let in, and then refused, is not."""

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # Full: it has been rung already.
            os.write(self._push, b"!")

    # The thread

    def _run(self) -> None:
        rest = FIRST_REST
        while True:
            link: Link | None = None
            self._served = False
            try:
                link = self._connect()
                self._listen(link)
            except BrokerError as exc:
                self.failure = exc
            except (CeleriacError, Unreached, Lost, TimeUp, OSError, EOFError):
                pass  # Whoever waits looks now and then, and finds the same trouble there.
            finally:
                self._heard = frozenset()
                if link is not None:
                    link.close()
            if self._finished():
                return
            if self._served:
                rest = FIRST_REST
            self._nap(rest * SYSTEM_RNG.uniform(0.5, 1.0))
            rest = min(rest * 2, LONGEST_REST)

    def _finished(self) -> bool:
        """End the thread if nobody waits; decided under the lock, so that a new ear starts another."""
        with self._lock:
            self._drop_left()
            if self._ears:
                return False
            self._thread = None
            return True

    def _connect(self) -> Link:
        finder = RedisPerformer(self._location)
        try:
            address = finder.locate()
        finally:
            finder.close()
        return Link(self._location, address, self._location.connect_timeout)

    def _listen(self, link: Link) -> None:
        """Wake ears until the connection breaks, or nobody has waited for a while."""
        asked: set[bytes] = set()
        heard: set[bytes] = set()
        with self._lock:
            self._heard = heard
            self._changed = True
            for ear in {ear for ears in self._ears.values() for ear in ears}:
                ear.awaited = set(ear.channels)
        spoken = time.monotonic()  # When the server said something.
        pinged = False
        alone: float | None = None
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while True:
            if self._changed or self._left:
                alone = self._subscribe(link, asked, heard)
            now = time.monotonic()
            if alone is not None and now >= alone + LINGER:
                return
            silent = now - spoken
            if silent >= PING_EVERY + PATIENCE:
                raise EOFError("no answer")
            if silent >= PING_EVERY and not pinged:
                link.say([["PING"]], now + PATIENCE)
                pinged = True
            poll.poll(1000 * (PING_EVERY + (PATIENCE if pinged else 0.0) - silent) + 1)
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell, 4096)
            for message in link.hear_at_once():
                spoken, pinged = time.monotonic(), False
                self._take(message, heard)

    def _subscribe(self, link: Link, asked: set[bytes], heard: set[bytes]) -> float | None:
        """Tell the server what changed; return since when nobody waits."""
        with self._lock:
            self._changed = False
            self._drop_left()
            wanted = set(self._ears) or asked  # The last ones are kept while we linger.
            more, less = wanted - asked, asked - wanted
            heard -= less
        deadline = time.monotonic() + PATIENCE
        for word, channels in (("SUBSCRIBE", sorted(more)), ("UNSUBSCRIBE", sorted(less))):
            for start in range(0, len(channels), CHUNK):
                link.say([[word, *channels[start : start + CHUNK]]], deadline)
        asked -= less
        asked |= more
        return None if self._ears else time.monotonic()

    def _drop_left(self) -> None:
        while self._left:
            ear = self._left.popleft()
            for channel in ear.channels:
                ears = self._ears.get(channel)
                if ears is not None:
                    ears.discard(ear)
                    if not ears:
                        del self._ears[channel]

    def _take(self, message: Any, heard: set[bytes]) -> None:
        if isinstance(message, Refused):
            raise translate(message, self._location.name)
        kind, channel = message[0], message[1]
        if kind == b"message":
            for ear in tuple(self._ears.get(channel, ())):
                ear.wake()
        elif kind == b"subscribe":
            self._served = True
            self.failure = None
            with self._lock:
                heard.add(channel)
                complete: list[Ear] = []
                for ear in self._ears.get(channel, ()):
                    if channel in ear.awaited:
                        ear.awaited.discard(channel)
                        if not ear.awaited:
                            complete.append(ear)
            for ear in complete:
                ear.wake()

    def _nap(self, seconds: float) -> None:
        """Rest. A new ear does not end it: whoever cannot be reached needs no more attempts."""
        time.sleep(seconds)


_hubs: Final[dict[Location, Hub]] = {}


def hub_of(location: Location) -> Hub:
    """Return this process's hub for a server."""
    server = msgspec.structs.replace(location, prefix=PREFIX, partitions=1, db=0)
    found = _hubs.get(server)
    return found if found is not None else _hubs.setdefault(server, Hub(server))
