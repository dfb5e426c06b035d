"""A worker's supervisor hears of remote commands from the server, so that it need not ask for them all the time."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Command
from celeriac.core.clock import SYSTEM
from celeriac.worker.herald import Herald
from celeriac.worker.threads import SYSTEM_THREADS
from tests.support.servers import RedisServer

SOON = 1.0
"""Seconds within which a loaded machine hands on what the server says at once; a worker asks every two."""


def test_a_command_is_heard_of_at_once_and_silence_asks_for_nothing(server: RedisServer) -> None:
    broker: SyncBroker[Any, Any]
    with SyncBroker(connect(server.url)) as broker:
        heard: queue.SimpleQueue[float] = queue.SimpleQueue()
        herald = Herald(broker.waiter, lambda: heard.put(time.monotonic()), clock=SYSTEM, threads=SYSTEM_THREADS)
        threading.Thread(target=herald.run, daemon=True).start()
        heard.get(timeout=10)  # It listens: what came before is looked for now.
        assert herald.listening
        assert heard.empty()
        sent = time.monotonic()
        broker.broadcast(Command(id="1", name="ping"))
        assert heard.get(timeout=10) - sent < SOON
        herald.stop()
