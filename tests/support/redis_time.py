"""Redis on a clock that a test moves, so that leases expire and tasks become due without anybody waiting.

The server is a real one, and so are the scripts, but for one line: where they ask for the server's time they read it
from a key of the broker under test, if that is there. Keys that expire are brought nearer to their end as time passes.
"""

from __future__ import annotations

import atexit
import itertools
from collections.abc import Callable
from functools import cache
from typing import Final

import pytest
import redis

from celeriac.brokers.redis import exchange
from celeriac.brokers.redis.scripts import source
from celeriac.testing.clock import VirtualClock
from tests.support.servers import RedisServer

ASKS: Final = "local clock = call('TIME')\n"
READS: Final = "local clock = call('HMGET', T .. 'clock', 's', 'us')\nif not clock[1] then clock = call('TIME') end\n"

_numbers: Final = itertools.count(1)


@cache
def server() -> RedisServer:
    """Return the server of this process; it ends with the process."""
    started = RedisServer(unix=True)
    atexit.register(started.close)
    started.start()
    return started


@cache
def client() -> redis.Redis:
    """Return a client of that server."""
    return redis.Redis(unix_socket_path=str(server().socket))


def fresh_prefix() -> str:
    """Return a key prefix that was not used before, on an empty server: tests of one process run one by one."""
    client().flushdb()
    return f"t{next(_numbers)}"


def movable(name: str) -> str:
    """Return the text of a script with the line replaced."""
    text = source(name)
    assert text.count(ASKS) == 1, name
    return text.replace(ASKS, READS)


def use_movable_scripts() -> Callable[[], None]:
    """Let all brokers of this process use such scripts, until what is returned is called."""
    patch = pytest.MonkeyPatch()
    patch.setattr(exchange, "source", movable)
    exchange._sha.cache_clear()

    def undo() -> None:
        patch.undo()
        exchange._sha.cache_clear()

    return undo


class RedisClock(VirtualClock):
    """The time of the brokers under one prefix.

    Args:
        prefix: The prefix.
        partitions: How many partitions there are.
    """

    def __init__(self, prefix: str, partitions: int = 1) -> None:
        super().__init__()
        tags = [prefix] if partitions == 1 else [f"{prefix}:{number}" for number in range(partitions)]
        self._tags = [f"{{{tag}}}:" for tag in tags]
        self._tell()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        super().advance(seconds)
        self._tell()
        for tag in self._tags:
            for key in client().scan_iter(f"{tag}*", count=10_000):
                left = client().pttl(key)
                if left >= 0:
                    client().pexpire(key, left - round(seconds * 1000))

    def _tell(self) -> None:
        seconds, rest = divmod(round(self.now() * 1e6), 1_000_000)
        for tag in self._tags:
            client().hset(f"{tag}clock", mapping={"s": seconds, "us": rest})
