"""The node that the tests of this folder share, a queue for each test, and brokers that are closed in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers import NO_QUEUES, connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.core.ids import new_id
from celeriac.core.queues import QueuePlan
from tests.support.rabbitmq import RabbitNode, close_shared, shared_node

Open = Callable[..., AsyncBroker[Any, Any]]


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[RabbitNode]:
    yield shared_node()
    close_shared()


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test has."""
    return f"q-{new_id()}"


@pytest.fixture
async def open_broker(node: RabbitNode, tmp_path: Path) -> AsyncIterator[Open]:
    """Open brokers: paired with a store in a file, or alone; closed in the end."""
    opened: list[AsyncBroker[Any, Any]] = []

    def make(query: str = "timeout=10", *, alone: bool = False, plan: QueuePlan = NO_QUEUES, url: str = "") -> Any:
        store = None if alone else f"sqlite:///{tmp_path}/store.db"
        broker: AsyncBroker[Any, Any] = AsyncBroker(connect(f"{url or node.url}?{query}", store=store, queues=plan))
        opened.append(broker)
        return broker

    yield make
    for broker in opened:
        await broker.close()
