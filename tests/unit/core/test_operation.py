"""What both ways of driving an operation guarantee: replies go in, errors go in, the result comes out, it is closed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from celeriac.core.operation import Operation, arun, in_one, run

Perform = Callable[[str], int]
Drive = Callable[[Operation[str, int, Any], Perform], Any]


def drive_blocking(operation: Operation[str, int, Any], perform: Perform) -> Any:
    return run(operation, perform)


def drive_awaiting(operation: Operation[str, int, Any], perform: Perform) -> Any:
    async def awaited(request: str) -> int:
        await asyncio.sleep(0)
        return perform(request)

    coroutine: Coroutine[Any, Any, Any] = arun(operation, awaited)
    return asyncio.run(coroutine)


@pytest.fixture(params=[drive_blocking, drive_awaiting], ids=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Drive:
    chosen: Drive = request.param
    return chosen


def lengths(*words: str) -> Operation[str, int, list[int]]:
    found = [0] * len(words)
    for place, word in enumerate(words):
        found[place] = yield word
    return found


class Lost(Exception):
    pass


def fail(request: str) -> int:
    raise Lost(request)


def test_every_request_is_performed_in_order_and_answered(drive: Drive) -> None:
    seen: list[str] = []

    def perform(request: str) -> int:
        seen.append(request)
        return len(request)

    assert drive(lengths("a", "bbb", "cc"), perform) == [1, 3, 2]
    assert seen == ["a", "bbb", "cc"]


def test_an_operation_without_requests_needs_no_performer(drive: Drive) -> None:
    assert drive(lengths(), fail) == []


def test_an_unhandled_error_of_the_performer_reaches_the_caller_unchanged(drive: Drive) -> None:
    error = Lost("reply")

    def perform(request: str) -> int:
        raise error

    with pytest.raises(Lost) as caught:
        drive(lengths("a", "b"), perform)
    assert caught.value is error
    assert caught.value.__cause__ is None


def test_an_operation_may_handle_a_failed_request_and_go_on(drive: Drive) -> None:
    def patient() -> Operation[str, int, tuple[str, int]]:
        try:
            yield "first"
        except Lost as exc:
            answer = yield "second"
            return str(exc), answer
        return "", 0

    def perform(request: str) -> int:
        if request == "first":
            raise Lost(request)
        return len(request)

    assert drive(patient(), perform) == ("first", 6)


def test_an_operation_may_return_on_a_failed_request(drive: Drive) -> None:
    def gives_up() -> Operation[str, int, str]:
        try:
            yield "only"
        except Lost:
            return "gave up"
        return "done"

    assert drive(gives_up(), fail) == "gave up"


def test_an_operation_may_replace_the_error(drive: Drive) -> None:
    def explains() -> Operation[str, int, None]:
        try:
            yield "only"
        except Lost as exc:
            raise ValueError("the store is away") from exc

    with pytest.raises(ValueError, match="the store is away"):
        drive(explains(), fail)


def test_an_error_of_the_operation_itself_reaches_the_caller(drive: Drive) -> None:
    def broken() -> Operation[str, int, None]:
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(broken(), len)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_the_operation_is_closed_when_the_performer_is_interrupted(drive: Drive, error: type[BaseException]) -> None:
    events: list[str] = []

    def watched() -> Operation[str, int, None]:
        try:
            yield "a"
        except Exception:
            events.append("handled")
            raise
        finally:
            events.append("closed")

    def perform(request: str) -> int:
        raise error

    with pytest.raises(error):
        drive(watched(), perform)
    assert events == ["closed"], "an interruption is no failed request: the operation must only clean up"


def test_the_operation_is_closed_before_the_error_reaches_the_caller(drive: Drive) -> None:
    operation = lengths("a")
    with pytest.raises(Lost):
        drive(operation, fail)
    assert list(operation) == []


def test_the_operation_is_closed_when_the_task_that_awaits_it_is_cancelled() -> None:
    events: list[str] = []

    def watched() -> Operation[str, int, None]:
        try:
            yield "a"
        finally:
            events.append("closed")

    async def scenario() -> None:
        entered = asyncio.Event()

        async def hang(request: str) -> int:
            entered.set()
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        task = asyncio.create_task(arun(watched(), hang))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert events == ["closed"]


# Two in one.


def together(one: str, two: str) -> str | None:
    return f"{one}+{two}" if one != "alone" else None


class Both:
    """Answers what is joined with the lengths of both, and everything else with its length."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, request: str) -> Any:
        self.seen.append(request)
        return [len(one) for one in request.split("+")] if "+" in request else len(request)


@pytest.mark.parametrize(
    ("first", "second", "seen"),
    [
        (("a", "b"), ("cc", "d"), ["a+cc", "b", "d"]),
        (("a",), ("cc",), ["a+cc"]),
        ((), ("cc", "d"), ["cc", "d"]),
        (("a", "b"), (), ["a", "b"]),
        ((), (), []),
        (("alone", "b"), ("cc",), ["alone", "b", "cc"]),
    ],
)
def test_the_first_requests_of_two_operations_go_together(
    drive: Drive, first: tuple[str, ...], second: tuple[str, ...], seen: list[str]
) -> None:
    both = Both()
    lengths_of = ([len(one) for one in first], [len(one) for one in second])
    assert drive(in_one(lengths(*first), lengths(*second), together), both) == lengths_of
    assert both.seen == seen


@pytest.mark.parametrize("at", range(3))
def test_what_fails_in_either_of_two_operations_closes_both(drive: Drive, at: int) -> None:
    closed: list[str] = []

    def closing(name: str, *words: str) -> Operation[str, int, list[int]]:
        try:
            return (yield from lengths(*words))
        finally:
            closed.append(name)

    both = Both()

    def perform(request: str) -> Any:
        if len(both.seen) == at:
            raise Lost(request)
        return both(request)

    with pytest.raises(Lost):
        drive(in_one(closing("first", "a", "b"), closing("second", "c", "d"), together), perform)
    assert sorted(closed) == ["first", "second"]


def test_each_of_two_operations_handles_its_own_errors(drive: Drive) -> None:
    def careful(*words: str) -> Operation[str, int, list[Any]]:
        found: list[Any] = []
        for word in words:
            try:
                found.append((yield word))
            except Lost:
                found.append("lost")
        return found

    both = Both()

    def perform(request: str) -> Any:
        if request in ("b", "d"):
            raise Lost(request)
        return both(request)

    wanted = ([1, "lost", 2], [1, "lost", 2])
    assert drive(in_one(careful("a", "b", "ee"), careful("c", "d", "ff"), together), perform) == wanted
