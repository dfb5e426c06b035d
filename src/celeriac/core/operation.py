"""The seam between what is said to a broker and who says it.

An operation is a generator: it yields requests, is sent the replies, and returns its result. :func:`run` drives it with
a blocking performer and :func:`arun` with an awaiting one, so every operation is written once for synchronous
producers, asynchronous producers and the worker. One request is one round trip and one atomic unit.

Guarantee: a performer's exception is thrown into the operation at its ``yield``; an operation that does not handle it
lets it pass to the caller unchanged, and the generator is closed in any case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NoReturn, TypeAlias, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")
T = TypeVar("T")
U = TypeVar("U")

Operation: TypeAlias = Generator[Request, Reply, T]
Perform: TypeAlias = Callable[[Request], Reply]
AsyncPerform: TypeAlias = Callable[[Request], Awaitable[Reply]]


def run(operation: Operation[Request, Reply, T], perform: Perform[Request, Reply]) -> T:
    """Drive an operation with a blocking performer and return its result."""
    try:
        return _driven(operation, next(operation), perform)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        operation.close()


def begin(
    operation: Operation[Request, Reply, T],
    start: Callable[[Request], Callable[[], Reply]],
    perform: Perform[Request, Reply],
) -> Callable[[], T]:
    """Drive an operation until its first request is under way; return what drives it to its end, to be called once.

    Args:
        operation: The operation.
        start: Sends a request and returns what waits for the reply. What goes wrong is raised by that, not by itself.
        perform: Does the requests after the first.
    """
    try:
        first = next(operation)
    except StopIteration as stop:
        result: T = stop.value
        return lambda: result
    started: list[Callable[[], Reply]] = [start(first)]

    def finish() -> T:
        try:
            return _driven(operation, first, lambda request: started.pop()() if started else perform(request))
        except StopIteration as stop:
            last: T = stop.value
            return last
        finally:
            operation.close()

    return finish


def in_one(
    first: Operation[Request, Reply, T],
    second: Operation[Request, Reply, U],
    joined: Callable[[Request, Request], Request | None],
) -> Operation[Request, Any, tuple[T, U]]:
    """Carry out one operation and then another, the first requests of both in one round trip where that can be.

    Args:
        first, second: The operations. The second begins whatever comes of the first, and if what joins them fails, both
            have failed, and either may have been carried out.
        joined: Returns a request that has two done, one after the other, and is answered by both replies; None where
            there is none.
    """
    try:
        try:
            one = next(first)
        except StopIteration as stop:
            return stop.value, (yield from second)
        try:
            two = next(second)
        except StopIteration as stop:
            return (yield from _resumed(first, (yield one))), stop.value
        both = joined(one, two)
        if both is None:
            kept = yield from _resumed(first, (yield one))
            return kept, (yield from _resumed(second, (yield two)))
        reply, other = yield both
        kept = yield from _resumed(first, reply)
        return kept, (yield from _resumed(second, other))
    finally:
        first.close()
        second.close()


def _resumed(operation: Operation[Request, Reply, T], reply: Reply) -> Operation[Request, Reply, T]:
    """Carry out the rest of an operation that has asked for something, beginning with the reply to that."""
    try:
        request = operation.send(reply)
        while True:
            try:
                answer = yield request
            except Exception as exc:
                request = operation.throw(exc)
            else:
                request = operation.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


def at_once(call: Callable[[], T]) -> Callable[[], T]:
    """Call it now, and return what gives its result or raises its error: a beginning that is the end, too."""
    try:
        value = call()
    except Exception as exc:
        error = exc

        def fail() -> T:
            raise error

        return fail
    return lambda: value


def _driven(operation: Operation[Request, Reply, T], request: Request, perform: Perform[Request, Reply]) -> NoReturn:
    """Perform this request and those that come; StopIteration has the result."""
    while True:
        try:
            reply = perform(request)
        except Exception as exc:
            request = operation.throw(exc)
        else:
            request = operation.send(reply)


async def arun(operation: Operation[Request, Reply, T], perform: AsyncPerform[Request, Reply]) -> T:
    """Drive an operation with an awaiting performer and return its result."""
    try:
        request = next(operation)
        while True:
            try:
                reply = await perform(request)
            except Exception as exc:
                request = operation.throw(exc)
            else:
                request = operation.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        operation.close()
