"""What a type checker says about tasks. mypy and pyright read this file with the others; a test runs it.

Each line with an ignore is an error that a checker must find: were it silent, the needless ignore would be reported.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportUnusedCoroutine=false

from __future__ import annotations

from typing import Any, assert_type

from celeriac import AsyncResult, Celeriac, Signature, Task, shared_task
from celeriac.result import agather, gather

app = Celeriac("sample", broker="memory://typing-sample", backend="memory://typing-sample")


@app.task
def add(x: int, y: int = 2) -> int:
    return x + y


@app.task(name="sample.join", max_retries=3, retry_backoff=True, autoretry_for=(OSError,), time_limit=5)
def join(words: list[str], *, by: str) -> str:
    return by.join(words)


@app.task(bind=True)
def bound(self: Task[..., Any], x: int) -> float:
    assert_type(self.request.retries, int)
    return float(x)


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@shared_task(bind=True, ignore_result=True)
def shared(self: Task[..., Any], x: int) -> None: ...


@shared_task
async def shared_fetch(url: str) -> bytes:
    return url.encode()


class Counted(Task[..., Any]):
    runs = 0


@app.task(base=Counted, anything="else")
def counted(x: int) -> int:
    return x


def results() -> None:
    assert_type(add.delay(1), AsyncResult[int])
    assert_type(add.delay(1, y=3).get(timeout=1), int)
    assert_type(add.apply_async((1,), countdown=3, queue="q"), AsyncResult[int])
    assert_type(add(1), int)
    assert_type(bound.delay(5), AsyncResult[float])
    assert_type(bound(5), float)
    assert_type(fetch.delay("x"), AsyncResult[bytes])
    assert_type(fetch.apply_async(("x",)), AsyncResult[bytes])
    assert_type(shared_fetch.delay("x"), AsyncResult[bytes])
    assert_type(shared.delay(5), AsyncResult[None])
    assert_type(counted.delay(5), AsyncResult[int])
    assert_type(join.delay(["a"], by="-"), AsyncResult[str])
    assert_type(add.s(1), Signature)
    assert_type(AsyncResult("id"), AsyncResult[Any])
    assert_type(app.AsyncResult("id"), AsyncResult[Any])
    assert_type(app.tasks["sample.join"], Task[..., Any])
    gather([add.delay(1)], timeout=0, propagate=False)


async def awaited() -> None:
    assert_type(await add.adelay(1), AsyncResult[int])
    assert_type(await add.aapply_async((1,)), AsyncResult[int])
    assert_type(await fetch.adelay("x"), AsyncResult[bytes])
    assert_type(await (await fetch.adelay("x")).aget(), bytes)
    assert_type(await fetch("x"), bytes)
    await agather([await add.adelay(1)])


def errors() -> None:
    add.delay("1")  # type: ignore[arg-type]
    add.delay()  # type: ignore[call-arg]
    add.delay(1, z=3)  # type: ignore[call-arg]
    add("1")  # type: ignore[arg-type]
    add.dealy(1)  # type: ignore[attr-defined]
    bound.delay()  # type: ignore[call-arg]
    bound.delay(1, 2)  # type: ignore[call-arg]
    fetch.delay(5)  # type: ignore[call-overload]
    shared.delay("x")  # type: ignore[arg-type]
    join.delay(["a"])  # type: ignore[call-arg]
    join.delay(["a"], "-")  # type: ignore[call-arg]
    add.apply_async((1,), coutdown=3)  # type: ignore[call-arg]
    add.apply_async((1,), countdown="3")  # type: ignore[arg-type]
    app.task(max_retry=3)  # type: ignore[call-overload]
    app.send_task("x", queue=5)  # type: ignore[arg-type]
