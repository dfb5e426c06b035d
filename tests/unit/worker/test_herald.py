"""The herald: calls when the store tells of something, says whether it does, and rests where too much is told."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from celeriac import Celeriac
from celeriac.errors import OperationalError
from celeriac.testing.clock import VirtualClock
from celeriac.worker.control import LOOK_EVERY, SELDOM, Control
from celeriac.worker.herald import LONGEST_REST, MANY, PAUSE, REST, WITHIN, Herald
from celeriac.worker.options import WorkerOptions
from celeriac.worker.threads import SystemThreads


class Rests(SystemThreads):
    """Threads in which nobody sleeps: each rest is noted, and its end is what the test says."""

    def __init__(self, clock: VirtualClock, until: Callable[[], bool]) -> None:
        self._clock = clock
        self._until = until
        self.rests: list[float] = []
        self.stop: Callable[[], None]

    def wakeup(self) -> Any:
        return self

    def set(self) -> None:
        """The herald is told to stop; it looks for itself."""

    def wait(self, timeout: float) -> bool:
        self.rests.append(timeout)
        self._clock.advance(timeout)
        if self._until():
            self.stop()
        return False


class Told:
    """A waiter that is told, or not, as a test has written down; an error is raised."""

    def __init__(self, clock: VirtualClock, story: list[bool | Exception]) -> None:
        self._clock = clock
        self._story = story
        self.closed = 0

    def wait(self, timeout: float) -> bool:
        said = self._story.pop(0)
        if isinstance(said, Exception):
            raise said
        if not said:
            self._clock.advance(timeout)
        return said

    def close(self) -> None:
        self.closed += 1


def play(story: list[bool | Exception]) -> tuple[list[bool], list[float], int]:
    """Let a herald hear all of it; return whether it listened at each call, its rests, and how many waiters closed."""
    clock = VirtualClock()
    told = Told(clock, story)
    calls: list[bool] = []
    threads = Rests(clock, lambda: not story)
    herald = Herald(lambda: told, lambda: calls.append(herald.listening), clock=clock, threads=threads)
    threads.stop = herald.stop
    herald.run()
    return calls, threads.rests, told.closed


def test_each_news_is_a_call_and_silence_is_none() -> None:
    calls, rests, closed = play([True, False, False, True])
    assert calls == [True, True, False]  # The last says that it has ended.
    assert (rests[:2], closed) == ([PAUSE, PAUSE], 1)


def test_one_that_is_told_nothing_is_not_known_to_listen() -> None:
    """A store may refuse to let us listen: until it has told of something, commands are looked for as ever."""
    calls, rests, _ = play([False, OperationalError("no permission")])
    assert calls == [False]
    assert rests == [2 * REST]


def test_where_too_much_is_told_it_rests_and_tries_again_ever_more_seldom() -> None:
    assert PAUSE * MANY < WITHIN
    calls, rests, closed = play([True] * (MANY * 6))
    assert [calls.count(True), calls.count(False), closed] == [MANY * 6, 6, 6]
    assert [rest for rest in rests if rest > PAUSE] == [2 * REST, 4 * REST, 8 * REST, *[LONGEST_REST] * 3]


def test_commands_are_looked_for_seldom_only_while_the_store_tells() -> None:
    listens = [False, True]
    handlers: Any = object()
    with Celeriac("told", broker="memory://told", set_as_current=False) as app:
        control = Control(
            app=app,
            options=WorkerOptions(target="x", node="w@h", queues=("celery",)),
            handlers=handlers,
            children=dict,
            told=listens.pop,
        )
        assert [control.tick(), control.tick()] == [SELDOM, LOOK_EVERY]


def test_a_real_one_is_told_by_another_thread_and_ends_when_stopped() -> None:
    news: queue.SimpleQueue[bool] = queue.SimpleQueue()
    heard: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threads = SystemThreads()

    class Waiting:
        def wait(self, timeout: float) -> bool:
            return news.get()

        def close(self) -> None: ...

    herald = Herald(Waiting, lambda: heard.put(herald.listening), clock=VirtualClock(), threads=threads)
    thread = threads.thread(herald.run, "herald")
    thread.start()
    news.put(True)
    assert heard.get(timeout=10)
    herald.stop()
    news.put(False)
    thread.join(10)
    assert not thread.is_alive()
    assert not herald.listening
