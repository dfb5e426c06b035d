"""A waker wakes a selector at once, remembers one call, and does no harm when it is closed."""

from __future__ import annotations

import selectors
import threading
import time

from celeriac.worker.waker import Waker


def test_wakes_whoever_waits_and_whoever_waits_next() -> None:
    waker = Waker()
    with selectors.DefaultSelector() as selector:
        selector.register(waker, selectors.EVENT_READ)
        threading.Timer(0.05, waker.wake).start()
        began = time.monotonic()
        assert selector.select(10)
        assert time.monotonic() - began < 5
        for _ in range(100_000):  # More than the pipe takes.
            waker.wake()
        assert selector.select(0)
        waker.clear()
        assert not selector.select(0)
    waker.close()


def test_a_closed_one_does_nothing() -> None:
    waker = Waker()
    waker.close()
    waker.wake()
