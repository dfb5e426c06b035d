"""The seam between what is said to a broker and who says it.

An operation is a generator: it yields requests, is sent the replies, and returns its result. :func:`run` drives it with
a blocking performer and :func:`arun` with an awaiting one, so every operation is written once for synchronous
producers, asynchronous producers and the worker. One request is one round trip and one atomic unit.

Guarantee: a performer's exception is thrown into the operation at its ``yield``; an operation that does not handle it
lets it pass to the caller unchanged, and the generator is closed in any case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeAlias, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")
T = TypeVar("T")

Operation: TypeAlias = Generator[Request, Reply, T]
Perform: TypeAlias = Callable[[Request], Reply]
AsyncPerform: TypeAlias = Callable[[Request], Awaitable[Reply]]


def run(operation: Operation[Request, Reply, T], perform: Perform[Request, Reply]) -> T:
    """Drive an operation with a blocking performer and return its result."""
    try:
        request = next(operation)
        while True:
            try:
                reply = perform(request)
            except Exception as exc:
                request = operation.throw(exc)
            else:
                request = operation.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        operation.close()


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
