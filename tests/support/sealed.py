"""One store that is reached with keys, without them, and with others: what the tests of seals have in common."""

from __future__ import annotations

import itertools
from typing import Any

from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.sealed import SealedDriver
from celeriac.core.message import Delivery, Message, Settlement
from celeriac.core.security import Guard
from celeriac.testing.clock import VirtualClock

Broker = SyncBroker[Any, Any]
WINDOW = 1000.0
KEY, OTHER_KEY = b"k" * 32, b"x" * 32
_numbers = itertools.count()


class World:
    """One store, reached with the keys, without them, and with others."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.driver = connect(f"memory://sealed-{next(_numbers)}", clock=self.clock)
        self.attacker: Broker = SyncBroker(self.driver)
        self.app = self.with_keys()

    def with_keys(self, key: bytes = KEY, *, driver: Any = None, **options: Any) -> Broker:
        """Return a broker that another process with keys would have."""
        guard = Guard(signing={"k": key}, encryption={}, **{"window": WINDOW, **options})
        return SyncBroker(SealedDriver(driver or self.driver, guard, self.clock))

    def send(self, id: str = "1", **fields: Any) -> Message:
        """Send a message and return what lies in the store."""
        self.app.enqueue([Message(id=id, task="pay", **fields)])
        (record,) = self.attacker.get([id])
        assert record.message is not None
        return record.message

    def claim(self, broker: Broker | None = None) -> list[Delivery]:
        return (broker or self.app).claim(["celery"], 10, "worker", 60.0)

    def one(self, broker: Broker | None = None) -> Delivery:
        (delivery,) = self.claim(broker)
        return delivery

    def run(self, broker: Broker | None = None, **how: Any) -> Delivery:
        """Claim the one message, which must be accepted, and settle it."""
        delivery = self.one(broker)
        assert delivery.refusal is None
        how.setdefault("action", "done")
        assert (broker or self.app).settle([Settlement(lease=delivery.lease, **how)]) == ()
        return delivery

    def put(self, message: Message) -> None:
        """Put a message into the store as it is."""
        self.attacker.enqueue([message])


def refused(delivery: Delivery, because: str) -> None:
    assert delivery.refusal is not None
    assert because in delivery.refusal.reason
    assert delivery.refusal.final
