from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from celeriac.errors import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded
from celeriac.worker.interrupt import (
    INTERRUPT_SIGNAL,
    CoroutineInterrupter,
    Interrupter,
    MainThreadInterrupter,
    ThreadInterrupter,
)

LONG = 20.0
SOON = 5.0
HITS = 50


@pytest.fixture
def main_thread() -> Iterator[MainThreadInterrupter]:
    before = signal.getsignal(INTERRUPT_SIGNAL)
    interrupter = MainThreadInterrupter()
    interrupter.install()
    yield interrupter
    signal.signal(INTERRUPT_SIGNAL, before)


@pytest.fixture
def restless() -> Iterator[None]:
    """Have threads take turns as often as they can, so that every moment is hit."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Beside:
    """Interrupts from another thread once the test has said that its run is under way; nudges, as a watch does."""

    def __init__(self, interrupter: Interrupter, run: int, exc: BaseException) -> None:
        self.go = threading.Event()
        self._over = threading.Event()
        self._interrupter = interrupter
        self._run = run
        self._exc = exc
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        if self.go.wait(SOON):
            self._interrupter.interrupt(self._run, self._exc)
            while not self._over.wait(0.02):
                self._interrupter.nudge()

    def join(self) -> None:
        self._over.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()


# The main thread.


@pytest.mark.parametrize(
    "block",
    [
        lambda: time.sleep(LONG),
        lambda: threading.Event().wait(LONG),
        lambda: threading.Lock().acquire() and _locked().acquire(timeout=LONG),
        lambda: signal.sigtimedwait([signal.SIGUSR2], LONG),
    ],
    ids=["sleep", "event", "lock", "system call"],
)
def test_blocking_call_of_the_main_thread_ends_at_once(
    main_thread: MainThreadInterrupter, block: Callable[[], object]
) -> None:
    run = main_thread.begin()
    beside = Beside(main_thread, run, SoftTimeLimitExceeded("soft"))

    def task() -> None:
        beside.go.set()
        block()

    started = time.monotonic()
    with pytest.raises(SoftTimeLimitExceeded, match="soft"):
        main_thread.guard(task)
    assert time.monotonic() - started < SOON
    beside.join()


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def test_busy_loop_of_the_main_thread_is_interrupted(main_thread: MainThreadInterrupter) -> None:
    run = main_thread.begin()
    beside = Beside(main_thread, run, Terminated("terminated"))

    def task() -> None:
        beside.go.set()
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            pass

    with pytest.raises(Terminated, match="terminated"):
        main_thread.guard(task)
    beside.join()


def test_task_that_catches_the_interrupt_goes_on_and_can_be_interrupted_again(
    main_thread: MainThreadInterrupter,
) -> None:
    run = main_thread.begin()
    soft = Beside(main_thread, run, SoftTimeLimitExceeded("soft"))
    revoke = Beside(main_thread, run, Terminated("terminated"))
    cleaned: list[str] = []

    def task() -> None:
        try:
            soft.go.set()
            time.sleep(LONG)
        except SoftTimeLimitExceeded:
            soft.join()
            cleaned.append("up")
        revoke.go.set()
        time.sleep(LONG)

    with pytest.raises(Terminated):
        main_thread.guard(task)
    assert cleaned == ["up"]
    revoke.join()


def test_return_value_and_errors_pass_through(main_thread: MainThreadInterrupter) -> None:
    main_thread.begin()
    assert main_thread.guard(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        main_thread.guard(lambda: 1 // 0)


def test_interrupt_outside_of_a_run_does_nothing(main_thread: MainThreadInterrupter) -> None:
    run = main_thread.begin()
    assert main_thread.guard(lambda: "over") == "over"
    main_thread.interrupt(run, SoftTimeLimitExceeded("late"))
    deadline = time.monotonic() + 0.05
    while time.monotonic() < deadline:  # The handler runs between these lines.
        pass


def test_interrupt_of_an_earlier_run_never_reaches_the_next(
    main_thread: MainThreadInterrupter, restless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run after run, each interrupted at about the moment when it ends, until some hundred have arrived."""
    # One may strike in a finaliser that happens to run then: Python drops it there, and it is sent again. pytest would
    # take what was dropped for an error of the test, and be struck itself while it looks.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    current = [0]
    arrived: list[tuple[int, int]] = []
    with pestering(lambda: main_thread.interrupt(current[0], Numbered(current[0]))):
        deadline = time.monotonic() + SOON
        while len(arrived) < HITS and time.monotonic() < deadline:
            run = main_thread.begin()
            current[0] = run
            try:
                main_thread.guard(lambda: sum(range(20)))
            except Numbered as exc:
                arrived.append((run, exc.run))
    assert len(arrived) >= HITS, "hardly any interrupt arrived: the test has shown nothing"
    assert [pair for pair in arrived if pair[0] != pair[1]] == []


@contextmanager
def pestering(action: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread again and again."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            action()

    beside = threading.Thread(target=work, daemon=True)
    beside.start()
    try:
        yield
    finally:
        stop.set()
        beside.join(SOON)
        assert not beside.is_alive()


class Numbered(BaseException):
    """Says for which run it was meant."""

    def __init__(self, run: int = -1) -> None:
        super().__init__(run)
        self.run = run


# Other threads.


def in_thread(work: Callable[[], Any]) -> list[BaseException | Any]:
    """Run in a new thread; return what it returned or raised."""
    found: list[BaseException | Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as exc:
            found.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2 * SOON)
    assert not thread.is_alive()
    return found


def test_thread_gets_the_exception_when_it_next_runs_python_code() -> None:
    interrupter = ThreadInterrupter()
    run = interrupter.begin()
    beside = Beside(interrupter, run, SoftTimeLimitExceeded("soft"))

    def task() -> None:
        beside.go.set()
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            time.sleep(0.001)

    (found,) = in_thread(lambda: interrupter.guard(task))
    assert isinstance(found, SoftTimeLimitExceeded)
    assert str(found) == "soft"
    assert type(found).__qualname__ == "SoftTimeLimitExceeded"
    beside.join()


def test_interrupt_of_an_earlier_run_of_a_thread_never_reaches_what_follows(
    restless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that arrives in a finalizer is lost there, and this hook is told of it; the next may arrive in the hook.
    monkeypatch.setattr(sys, "unraisablehook", bool)
    interrupter = ThreadInterrupter()
    current = [0]
    hits = [0]

    def slot() -> str:
        deadline = time.monotonic() + SOON
        while hits[0] < HITS and time.monotonic() < deadline:
            current[0] = interrupter.begin()
            try:
                interrupter.guard(lambda: sum(range(20)))
            except Numbered:
                hits[0] += 1
            sum(range(20))  # Between two runs nothing may arrive: it would end the slot.
        return "done"

    with pestering(lambda: interrupter.interrupt(current[0], Numbered())):
        assert in_thread(slot) == ["done"]
    assert hits[0] >= HITS, "hardly any interrupt arrived: the test has shown nothing"


@pytest.mark.parametrize("kind", [ThreadInterrupter, MainThreadInterrupter])
def test_interrupt_before_the_first_run_does_nothing(
    kind: Callable[[], Interrupter], main_thread: MainThreadInterrupter
) -> None:
    interrupter = main_thread if kind is MainThreadInterrupter else kind()
    interrupter.interrupt(0, SoftTimeLimitExceeded("early"))
    interrupter.begin()
    assert interrupter.guard(lambda: 1) == 1


# Coroutines.


class Coroutine:
    """A coroutine under guard, in an asyncio task of its own."""

    def __init__(self, body: Callable[[], Any]) -> None:
        self.interrupter = CoroutineInterrupter()
        self.task = asyncio.create_task(self._run(body))

    async def _run(self, body: Callable[[], Any]) -> Any:
        return await self.interrupter.guard(body())


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
class TestCoroutines:
    async def test_exception_arrives_in_place_of_the_cancellation(self) -> None:
        waiting = asyncio.Event()
        seen: list[str] = []

        async def body() -> None:
            waiting.set()
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            except SoftTimeLimitExceeded as exc:
                seen.append(str(exc))
                raise

        run = Coroutine(body)
        await waiting.wait()
        run.interrupter.interrupt(SoftTimeLimitExceeded("soft"))
        with pytest.raises(SoftTimeLimitExceeded, match="soft"):
            await run.task
        assert seen == ["soft"]
        assert not run.task.cancelled()
        assert run.task.cancelling() == 0

    async def test_coroutine_may_clean_up_and_return(self) -> None:
        waiting = asyncio.Event()

        async def body() -> str:
            try:
                waiting.set()
                await asyncio.sleep(LONG)
            except SoftTimeLimitExceeded:
                await asyncio.sleep(0)  # Awaiting goes on working.
                return "cleaned up"
            return "finished"

        run = Coroutine(body)
        await waiting.wait()
        run.interrupter.interrupt(SoftTimeLimitExceeded())
        assert await run.task == "cleaned up"

    async def test_timeouts_inside_still_work(self) -> None:
        async def body() -> str:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(LONG)
            except TimeoutError:
                return "timed out"
            return "finished"

        assert await Coroutine(body).task == "timed out"

    async def test_timeout_inside_after_an_interrupt(self) -> None:
        waiting = asyncio.Event()

        async def body() -> list[str]:
            seen: list[str] = []
            try:
                waiting.set()
                await asyncio.sleep(LONG)
            except SoftTimeLimitExceeded:
                seen.append("soft")
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(LONG)
            except TimeoutError:
                seen.append("timeout")
            return seen

        run = Coroutine(body)
        await waiting.wait()
        run.interrupter.interrupt(SoftTimeLimitExceeded())
        assert await run.task == ["soft", "timeout"]

    async def test_interrupt_inside_a_timeout_is_not_taken_for_it(self) -> None:
        waiting = asyncio.Event()

        async def body() -> None:
            async with asyncio.timeout(LONG):
                waiting.set()
                await asyncio.sleep(LONG)

        run = Coroutine(body)
        await waiting.wait()
        run.interrupter.interrupt(Terminated("terminated"))
        with pytest.raises(Terminated):
            await run.task

    async def test_task_group_inside_is_unwound(self) -> None:
        waiting = asyncio.Event()
        ended: list[str] = []

        async def part() -> None:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                ended.append("part")
                raise

        async def body() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(part())
                await asyncio.sleep(0)
                waiting.set()
                await asyncio.sleep(LONG)

        run = Coroutine(body)
        await waiting.wait()
        run.interrupter.interrupt(SoftTimeLimitExceeded("soft"))
        with pytest.raises(BaseExceptionGroup) as caught:
            await run.task
        assert caught.value.subgroup(SoftTimeLimitExceeded) is not None
        assert ended == ["part"]

    async def test_second_interrupt_reaches_a_coroutine_that_ignored_the_first(self) -> None:
        waiting = asyncio.Event()

        async def body() -> None:
            try:
                waiting.set()
                await asyncio.sleep(LONG)
            except SoftTimeLimitExceeded:
                waiting.set()
                await asyncio.sleep(LONG)

        run = Coroutine(body)
        await waiting.wait()
        waiting.clear()
        run.interrupter.interrupt(SoftTimeLimitExceeded())
        await waiting.wait()
        run.interrupter.interrupt(TimeLimitExceeded("hard"))
        with pytest.raises(TimeLimitExceeded):
            await run.task

    async def test_interrupt_after_the_end_does_nothing(self) -> None:
        async def body() -> int:
            return 1

        run = Coroutine(body)
        assert await run.task == 1
        run.interrupter.interrupt(SoftTimeLimitExceeded())
        await asyncio.sleep(0)

    async def test_cancellation_that_is_not_ours_stays_one(self) -> None:
        waiting = asyncio.Event()

        async def body() -> None:
            waiting.set()
            await asyncio.sleep(LONG)

        run = Coroutine(body)
        await waiting.wait()
        run.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.task
        assert run.task.cancelled()
