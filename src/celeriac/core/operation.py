"""The seam between what is said to a broker and who says it.

An operation is a generator: it yields requests, is sent the replies, and returns its result. :func:`run` drives it with
a blocking performer and :func:`arun` with an awaiting one, so every operation is written once for synchronous
producers, asynchronous producers and the worker. One request is one round trip and one atomic unit.

Guarantee: a performer's exception is thrown into the operation at its ``yield``; an operation that does not handle it
lets it pass to the caller unchanged, and the generator is closed in any case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import NoReturn, TypeAlias, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")
T = TypeVar("T")

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
