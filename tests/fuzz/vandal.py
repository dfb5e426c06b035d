"""Puts bytes into a broker's store, past Celeriac: what a faulty peer or an attacker with the password can do.

One class for each store; a driver that joins adds one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, Protocol

import redis

from celeriac.brokers.redis.operations.records import payload_of
from celeriac.brokers.sqlite.url import parse


class Vandal(Protocol):
    """Writes bytes where Celeriac will read them."""

    def spoil_messages(self, payloads: dict[str, bytes]) -> None:
        """Put these bytes in the place of messages that wait."""
        ...

    def put_results(self, payloads: dict[str, bytes]) -> None:
        """Keep these bytes as the results of tasks that are over."""
        ...

    def put_commands(self, payloads: list[bytes]) -> None:
        """Leave these bytes as commands for all workers."""
        ...

    def put_replies(self, command_id: str, payloads: list[bytes]) -> None:
        """Leave these bytes as answers to a command."""
        ...

    def put_workers(self, payloads: dict[str, bytes]) -> None:
        """Leave these bytes as the records of live workers."""
        ...


class SqliteVandal:
    """Writes into a SQLite broker's file."""

    def __init__(self, url: str) -> None:
        self._path = parse(url).path

    def spoil_messages(self, payloads: dict[str, bytes]) -> None:
        rows = [(payload, id) for id, payload in payloads.items()]
        self._write("UPDATE message SET payload = ? WHERE id = ?", rows)

    def put_results(self, payloads: dict[str, bytes]) -> None:
        self._write("INSERT OR REPLACE INTO result (id, over, payload) VALUES (?, 1, ?)", list(payloads.items()))

    def put_commands(self, payloads: list[bytes]) -> None:
        rows = [(time.time() + 60, payload) for payload in payloads]
        self._write("INSERT INTO command (expires, record) VALUES (?, ?)", rows)

    def put_replies(self, command_id: str, payloads: list[bytes]) -> None:
        rows = [(command_id, time.time() + 60, payload) for payload in payloads]
        self._write("INSERT INTO reply (command_id, expires, record) VALUES (?, ?, ?)", rows)

    def put_workers(self, payloads: dict[str, bytes]) -> None:
        rows = [(name, time.time(), time.time() + 60, payload) for name, payload in payloads.items()]
        self._write("INSERT OR REPLACE INTO worker (name, seen, expires, record) VALUES (?, ?, ?, ?)", rows)

    def _write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            connection.executemany(sql, rows)


class RedisVandal:
    """Writes into a Redis broker's keys (``celeriac/brokers/redis/keys.py`` has their names), all in one partition."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def spoil_messages(self, payloads: dict[str, bytes]) -> None:
        for id, payload in payloads.items():
            value = self._client.hget("{celeriac}:m", id)
            assert isinstance(value, bytes)
            header = value[: len(value) - len(payload_of(value))]
            self._client.hset("{celeriac}:m", id, header + payload)

    def put_results(self, payloads: dict[str, bytes]) -> None:
        for id, payload in payloads.items():
            self._client.set(f"{{celeriac}}:r:{id}", b"1" + payload, ex=60)

    def put_commands(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            cursor = self._client.incr("{celeriac}:n")
            self._client.zadd("{celeriac}:commands", {_micros(60) + payload: cursor})

    def put_replies(self, command_id: str, payloads: list[bytes]) -> None:
        self._client.rpush(f"{{celeriac}}:reply:{command_id}", *payloads)

    def put_workers(self, payloads: dict[str, bytes]) -> None:
        for name, payload in payloads.items():
            self._client.zadd("{celeriac}:workers", {name: int(_micros(60))})
            self._client.hset("{celeriac}:worker", name, _micros(0) + payload)


def _micros(seconds: float) -> bytes:
    return b"%016d" % int((time.time() + seconds) * 1e6)


VANDALS: Final[dict[str, Callable[[str], Vandal]]] = {"sqlite": SqliteVandal, "redis": RedisVandal}
"""Driver name to what makes its vandal of a URL."""
