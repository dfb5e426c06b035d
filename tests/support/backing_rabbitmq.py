"""RabbitMQ in the reliability suite, paired with a store.

The store is a file, which no fault hits: what befalls a store has rows of its own. RabbitMQ alone is not here: its
tasks have no results by which the suite counts; ``tests/integration/rabbitmq`` has what befalls it.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from celeriac.brokers import open_broker
from celeriac.core.message import Message
from tests.support.backing import Backing, Keeps, SqliteBacking, Traits
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode, shared_node
from tests.support.waiting import wait_for

QUEUE: Final = "celery"
SETTLED: Final = 6.0
"""Seconds: a quorum queue of RabbitMQ 3.10 has no leader for ever if its node is killed sooner after its making."""
_FRAME: Final = struct.Struct(">BHI")
_METHODS: Final = {(60, 40): "enqueue", (60, 20): "claim", (60, 80): "ack"}
"""What the methods of AMQP are here: publish, consume (a claim opens consumers), acknowledge."""


class RabbitBacking(Backing):
    """A node: one for all tests of this process that do not kill it, since it takes long to start."""

    name = "rabbitmq"
    traits = Traits(server=True, network=True, own_clock=False, keeps=("everything",), whole=False)
    # What is not RabbitMQ's own is the store's, and is tested there: with every change runs what only RabbitMQ has.
    small = frozenset(
        {
            "test_killed_children_lose_nothing",
            "test_server_is_killed_and_keeps_everything",
            "test_store_is_full",
            "test_server_ends_every_connection",
            "test_every_tenth_request_is_cut",
            "test_half_open_connections",
        }
    )

    def __init__(self, folder: Path, keeps: Keeps = "nothing", disk: str | None = None) -> None:
        super().__init__(folder, keeps, disk)
        self._own: Final = keeps != "nothing"
        self.node: Final = RabbitNode() if self._own else shared_node()
        self._store: Final = SqliteBacking(folder, keeps)

    @property
    def url(self) -> str:
        return self.node.url

    @property
    def backend_url(self) -> str:
        return self._store.url

    @property
    def results_url(self) -> str:
        return self._store.results_url

    def start(self) -> None:
        if self._own:
            self.node.start()
        with open_broker(self.url) as broker:
            broker.enqueue([Message(id="first", task="note", queue=QUEUE)])
            broker.purge(QUEUE)
        if self._own:
            made = time.monotonic()
            wait_for(lambda: time.monotonic() > made + SETTLED, 2 * SETTLED, "the queue to have settled")

    def close(self) -> None:
        if self._own:
            self.node.close()

    def owned_by(self, owners: Iterable[str]) -> set[str]:
        return self._store.owned_by(owners)

    def is_held(self) -> bool:
        return self._store.is_held()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Raise the alarm for memory: the node reads nothing from those who publish."""
        self.node.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            yield
        finally:
            self.node.control("set_vm_memory_high_watermark", "absolute", "1GB")

    def kill(self) -> None:
        self.node.kill()

    def stop(self) -> None:
        self.node.stop()

    def start_again(self, *, data: bool = True) -> None:
        if not data:
            self.node.wipe()
        self.node.start()

    def pause(self) -> None:
        self.node.pause()

    def resume(self) -> None:
        self.node.resume()

    def hang_up(self) -> None:
        self.node.control("close_all_connections", "told to by a test")

    def under_way(self) -> int:
        counted = self.node.control("list_queues", "--no-table-headers", "messages")
        return sum(int(line) for line in counted.split())

    def versions(self) -> Mapping[str, str]:
        return {"rabbitmq": self.node.control("version").strip(), **self._store.versions()}

    def proxy(self) -> Proxy:
        return Proxy(self.node.port, amqp_operation)

    def url_by(self, proxy: Proxy) -> str:
        return self.node.url.replace(f":{self.node.port}/", f":{proxy.port}/")

    def backend_url_by(self, proxy: Proxy) -> str:
        return self.backend_url


def amqp_operation(data: bytes) -> str | None:
    """Return what the first of these frames is for that is for something of interest."""
    at = 0
    while at + 11 <= len(data):
        kind, _, size = _FRAME.unpack_from(data, at)
        if kind not in (1, 2, 3, 8):
            return None  # The middle of a long body.
        if kind == 1:
            found = _METHODS.get(struct.unpack_from(">HH", data, at + 7))
            if found is not None:
                return found
        at += 8 + size
    return None
