"""A small TCP proxy that does to connections what networks do: cuts them, slows them down, lets them hang.

    with Proxy(server_port, classify) as proxy:
        app = Celeriac(broker=url_of(proxy.port))
        proxy.cut("claim", Cut.REPLY)          # the next claim is carried out, and its reply never arrives
        proxy.delay = 0.05                     # each way, from now on
        proxy.hang()                           # what is open stays open and carries nothing; new ones work

What a request is for is told by ``classify``, which knows the protocol; everything else is bytes. One thread for each
direction of each connection, so that one that hangs holds up no other.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

CHUNK: Final = 1 << 18
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset, as a firewall that forgot the connection.


class Cut(Enum):
    """Where a connection is cut."""

    REQUEST = "before the request"
    REPLY = "between request and reply"


@dataclass(eq=False)
class _Pair:
    """One connection: the client's side and the server's."""

    client: socket.socket
    server: socket.socket
    hung: bool = False
    lose_reply: threading.Event = field(default_factory=threading.Event)

    def close(self, *, reset: bool = False) -> None:
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                one.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                one.close()


class Proxy:
    """One way to a server on this machine.

    Args:
        port: Where the server listens.
        classify: Returns what a request is for, from its first bytes; None for what is not of interest.

    Attributes:
        delay: Seconds for which each piece of data is held up, in each direction.
        refusing: New connections are closed at once, as by a server that does not run.
        cuts: How many connections were cut at each (operation, place), and when (monotonic).
    """

    def __init__(self, port: int, classify: Callable[[bytes], str | None] = lambda data: None) -> None:
        self._target: Final = port
        self._classify: Final = classify
        self._lock: Final = threading.Lock()
        self._orders: list[tuple[str, Cut]] = []
        self._dice: tuple[random.Random, float, frozenset[str]] | None = None
        self._pairs: set[_Pair] = set()
        self._closed = False
        self.delay = 0.0
        self.refusing = False
        self.hanging = False
        self.cuts: Counter[tuple[str, Cut]] = Counter()
        self.times: list[tuple[str, Cut, float]] = []
        self.seen: Counter[str] = Counter()
        self._listener: Final = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy-accept", daemon=True).start()

    # What it is told

    def cut(self, operation: str, where: Cut, times: int = 1) -> None:
        """Cut the connections of the next so many requests for this operation."""
        with self._lock:
            self._orders += [(operation, where)] * times

    def chance(self, rng: random.Random, rate: float, operations: Iterable[str]) -> None:
        """Cut this share of the requests for these operations, at either place, by dice; rate 0 ends it."""
        with self._lock:
            self._dice = (rng, rate, frozenset(operations)) if rate else None

    @property
    def pending(self) -> Sequence[tuple[str, Cut]]:
        """The orders that have not been carried out yet."""
        with self._lock:
            return tuple(self._orders)

    def hang(self, *, new: bool = False) -> None:
        """Carry nothing on the connections that are open, and keep them open; with ``new``, on new ones likewise."""
        with self._lock:
            for pair in self._pairs:
                pair.hung = True
            self.hanging = new

    def heal(self) -> None:
        """Let new connections work; those that hang are reset, as by a peer that has come back and knows them not."""
        with self._lock:
            self.hanging = self.refusing = False
            hung = [pair for pair in self._pairs if pair.hung]
            self._pairs.difference_update(hung)
        for pair in hung:
            pair.close(reset=True)

    def drop(self) -> None:
        """Reset every connection that is open."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.close(reset=True)

    def close(self) -> None:
        """Close everything. Safe to call twice."""
        self._closed = True
        # A socket that another thread accepts on must be shut down to wake that thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # What it does

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server, hung=self.hanging)
            with self._lock:
                self._pairs.add(pair)
            for carry in (self._carry_requests, self._carry_replies):
                threading.Thread(target=self._run, args=(carry, pair), name="proxy-carry", daemon=True).start()

    def _run(self, carry: Callable[[_Pair], None], pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            carry(pair)
        # One side has ended: a connection that hangs says nothing of it, any other ends on both sides.
        if not pair.hung:
            pair.close()
            with self._lock:
                self._pairs.discard(pair)

    def _carry_requests(self, pair: _Pair) -> None:
        while data := pair.client.recv(CHUNK):
            if pair.hung:
                continue
            operation = self._classify(data)
            if operation is not None:
                self.seen[operation] += 1
                where = self._verdict(operation)
                if where is not None:
                    self._note(operation, where)
                if where is Cut.REQUEST:
                    pair.close(reset=True)
                    return
                if where is Cut.REPLY:
                    pair.lose_reply.set()
            if self.delay:
                time.sleep(self.delay)
            pair.server.sendall(data)

    def _carry_replies(self, pair: _Pair) -> None:
        while data := pair.server.recv(CHUNK):
            if pair.lose_reply.is_set():
                # The server has answered, so the request was carried out.
                pair.close(reset=True)
                return
            if pair.hung:
                continue
            if self.delay:
                time.sleep(self.delay)
            pair.client.sendall(data)

    def _verdict(self, operation: str) -> Cut | None:
        with self._lock:
            for order in self._orders:
                if order[0] == operation:
                    self._orders.remove(order)
                    return order[1]
            if self._dice is not None:
                rng, rate, operations = self._dice
                if operation in operations and rng.random() < rate:
                    return rng.choice((Cut.REQUEST, Cut.REPLY))
        return None

    def _note(self, operation: str, where: Cut) -> None:
        with self._lock:
            self.cuts[operation, where] += 1
            self.times.append((operation, where, time.monotonic()))
