"""The least time that servers and machine allow from sending a task to its first line: ``python -m benchmarks.floors``.

For each broker a sender and a receiver, two processes of a few lines without any library of tasks, take the same round
trips, as durably, as a queue that loses nothing must: the message is kept before the sender goes on; the receiver is
woken, takes the message in a step of its own, and only then notes the time. Samples are sent as those of the scenario
``latency`` are, so what stands there can be held against this. Prints a line for each broker, milliseconds.
"""

from __future__ import annotations

import importlib
import multiprocessing
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from benchmarks.figures import percentile
from benchmarks.stores import Stores

SAMPLES: Final = 150
SEED: Final = 1

pika: Final[Any] = importlib.import_module("pika")  # It has no types.

Sender = Callable[[bytes], object]
Receiver = Callable[[str], Iterator[bytes]]


def _resp(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%s\r\n" % (len(part), part) for part in parts])


def _connected(url: str) -> socket.socket:
    made = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 6379))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def redis_sender(url: str) -> Sender:
    """One script keeps and publishes."""
    line = _connected(url)
    script = b"redis.call('RPUSH', 'floor', ARGV[1]); return redis.call('PUBLISH', 'floor', '')"

    def send(stamp: bytes) -> object:
        line.sendall(_resp(b"EVAL", script, b"0", stamp))
        return line.recv(4096)

    return send


def redis_receiver(url: str) -> Iterator[bytes]:
    """Published to, takes one by a command of its own."""
    ear, line = _connected(url), _connected(url)
    ear.sendall(_resp(b"SUBSCRIBE", b"floor"))
    ear.recv(4096)
    while True:
        yield b""
        ear.recv(4096)
        line.sendall(_resp(b"LPOP", b"floor"))
        yield line.recv(4096).split(b"\r\n")[1]


def postgres_sender(url: str) -> Sender:
    """One commit keeps and notifies."""
    line = psycopg.connect(url, autocommit=True)
    line.execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, stamp text, held boolean DEFAULT false)")
    statement = "WITH kept AS (INSERT INTO floor (stamp) VALUES (%s)) SELECT pg_notify('floor', '')"

    def send(stamp: bytes) -> object:
        return line.execute(statement, (stamp.decode(),), prepare=True).fetchone()

    return send


def postgres_receiver(url: str) -> Iterator[bytes]:
    """Notified, marks one as taken in a commit of its own."""
    ear, line = psycopg.connect(url, autocommit=True), psycopg.connect(url, autocommit=True)
    ear.execute("LISTEN floor")
    statement = "UPDATE floor SET held = true WHERE id = (SELECT id FROM floor WHERE NOT held LIMIT 1) RETURNING stamp"
    while True:
        yield b""
        for _ in ear.notifies(stop_after=1):
            pass
        row = line.execute(statement, prepare=True).fetchone()
        assert row is not None
        yield str(row[0]).encode()


def rabbit_sender(url: str) -> Sender:
    """Published to a quorum queue, and confirmed."""
    channel: Any = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.queue_declare("floor", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    lasting = pika.BasicProperties(delivery_mode=2)
    return lambda stamp: channel.basic_publish("", "floor", stamp, properties=lasting, mandatory=True)


def rabbit_receiver(url: str) -> Iterator[bytes]:
    """Delivered, notes it in Redis in a step of its own."""
    rabbit, redis = url.split(" ")
    channel: Any = pika.BlockingConnection(pika.URLParameters(rabbit)).channel()
    channel.queue_declare("floor", durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_qos(prefetch_count=1)
    line = _connected(redis)
    yield b""
    for method, _, body in channel.consume("floor"):
        line.sendall(_resp(b"SET", b"floor", body))
        line.recv(4096)
        yield body
        channel.basic_ack(method.delivery_tag)
        yield b""


FLOORS: Final[dict[str, tuple[tuple[str, ...], Callable[[str], Sender], Receiver]]] = {
    "Redis": (("redis",), redis_sender, redis_receiver),
    "PostgreSQL": (("postgresql",), postgres_sender, postgres_receiver),
    "RabbitMQ": (("rabbitmq", "redis"), rabbit_sender, rabbit_receiver),
}


def receive(make: Receiver, url: str, told: Any) -> None:
    """Tell of each stamp how many milliseconds ago it was made; tell 0 first, when ready."""
    receiver = make(url)
    next(receiver)
    told.send(0.0)
    for stamp in receiver:
        if stamp:
            told.send((time.monotonic_ns() - int(stamp)) / 1e6)


def measure(name: str) -> list[float]:
    """Return the milliseconds of each sample on one broker."""
    stores, sender, receiver = FLOORS[name]
    with tempfile.TemporaryDirectory() as folder, Stores(stores) as running:
        found = running.empty(stores, Path(folder))
        send = sender(found[stores[0]])
        hears, tells = multiprocessing.get_context("spawn").Pipe(duplex=False)
        url = " ".join([found[one] for one in stores])
        process = multiprocessing.get_context("spawn").Process(target=receive, args=(receiver, url, tells), daemon=True)
        process.start()
        try:
            hears.recv()
            pauses, samples = random.Random(SEED), list[float]()
            for _ in range(SAMPLES):
                time.sleep(pauses.uniform(0.25, 0.35))
                send(b"%d" % time.monotonic_ns())
                samples.append(hears.recv())
            return samples
        finally:
            process.kill()
            process.join()


def main() -> int:
    """Measure each broker in turn."""
    for name in FLOORS:
        samples = measure(name)
        print(f"{name:<12} p50 {percentile(samples, 50):6.2f}  p99 {percentile(samples, 99):6.2f} ms", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
