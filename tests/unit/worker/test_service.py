"""The service loop: ticks when due, orders first and until they succeed, errors of one service harm no other."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from celeriac.errors import OperationalError
from celeriac.events import Bus, ServiceFailed, ServiceRecovered
from celeriac.worker.service import ServiceLoop
from celeriac.worker.threads import SystemThreads


class Ticking:
    """Counts its ticks, fails in the first ``failing`` of them, and says so after each."""

    longest_backoff = 1.0

    def __init__(self, name: str, delay: float, failing: int = 0) -> None:
        self.name = name
        self.delay = delay
        self.failing = failing
        self.ticks = 0
        self.ticked = threading.Semaphore(0)

    def tick(self) -> float:
        self.ticks += 1
        self.ticked.release()
        if self.ticks <= self.failing:
            raise OperationalError("away")
        return self.delay


def run(loop: ServiceLoop, meanwhile: Callable[[], None]) -> None:
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        meanwhile()
    finally:
        loop.stop()
        thread.join(10)
    assert not thread.is_alive()


def test_a_service_is_ticked_when_it_asked_to_be() -> None:
    often, once = Ticking("often", 0.001), Ticking("once", 1000.0)

    def meanwhile() -> None:
        for _ in range(5):
            assert often.ticked.acquire(timeout=5)

    run(ServiceLoop([often, once], Bus()), meanwhile)
    assert once.ticks == 1
    assert often.ticks >= 5


def test_a_failing_service_is_tried_again_and_harms_no_other() -> None:
    bus = Bus()
    told: list[Any] = []
    bus.subscribe(ServiceFailed, told.append)
    bus.subscribe(ServiceRecovered, told.append)
    bad, good = Ticking("bad", 1000.0, failing=2), Ticking("good", 0.001)

    def meanwhile() -> None:
        for _ in range(3):
            assert bad.ticked.acquire(timeout=10)
        for _ in range(3):
            assert good.ticked.acquire(timeout=10)

    run(ServiceLoop([bad, good], bus), meanwhile)
    assert [(type(event), event.service) for event in told] == [
        (ServiceFailed, "bad"),
        (ServiceFailed, "bad"),
        (ServiceRecovered, "bad"),
    ]


def test_waking_ticks_a_service_before_its_time() -> None:
    slow = Ticking("slow", 1000.0)
    loop = ServiceLoop([slow], Bus())

    def meanwhile() -> None:
        assert slow.ticked.acquire(timeout=5)
        loop.wake(slow)
        assert slow.ticked.acquire(timeout=5)

    run(loop, meanwhile)


def test_an_order_is_repeated_until_it_succeeds_even_while_stopping() -> None:
    done = threading.Event()
    tries: list[int] = []

    def order() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("away")
        done.set()

    loop = ServiceLoop([], Bus())
    run(loop, lambda: loop.order(order))
    assert done.is_set()
    assert len(tries) == 3


def test_orders_are_not_repeated_sooner_because_services_are_ticked_meanwhile() -> None:
    bus = Bus()
    told: list[ServiceFailed] = []
    bus.subscribe(ServiceFailed, told.append)
    often = Ticking("often", 0.001)
    times: list[float] = []

    def order() -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            raise OperationalError("away")

    loop = ServiceLoop([often], bus)

    def meanwhile() -> None:
        loop.order(order)
        for _ in range(20):
            assert often.ticked.acquire(timeout=10)

    run(loop, meanwhile)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(waits) == 2
    assert all(wait >= event.retry_in for wait, event in zip(waits, told, strict=True))


def test_orders_are_done_in_the_order_they_were_given() -> None:
    done: list[int] = []
    loop = ServiceLoop([], Bus())

    def meanwhile() -> None:
        for number in range(5):
            loop.order(lambda number=number: done.append(number))  # type: ignore[misc]

    run(loop, meanwhile)
    assert done == [0, 1, 2, 3, 4]


def test_an_error_that_is_no_error_of_ours_is_told_with_its_traceback() -> None:
    bus = Bus()
    told: list[ServiceFailed] = []
    bus.subscribe(ServiceFailed, told.append)

    def order() -> None:
        if not told:
            raise ZeroDivisionError("a bug")

    loop = ServiceLoop([], bus)
    run(loop, lambda: loop.order(order))
    (event,) = told
    assert event.service == "keeper"
    assert "ZeroDivisionError: a bug" in event.error
    assert "in order" in event.error


class _Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> float:
        return self.at


def test_a_service_goes_a_little_early_with_another_so_that_the_thread_wakes_once_for_both() -> None:
    hand = _Hand()
    first, second = Ticking("first", 1.0), Ticking("second", 1.05)
    loop: ServiceLoop

    class Waiting:
        """A flag that nobody sets: waiting for it is the passing of time."""

        waits = 0

        def set(self) -> None: ...

        def clear(self) -> None: ...

        def wait(self, timeout: float) -> bool:
            hand.at += timeout
            self.waits += 1
            if self.waits == 10:
                loop.stop()
            return False

    class Machine(SystemThreads):
        def wakeup(self) -> Any:
            return flag

    flag = Waiting()
    loop = ServiceLoop([first, second], Bus(), clock=hand, threads=Machine())
    loop.run()
    assert (first.ticks, second.ticks) == (10, 10)
