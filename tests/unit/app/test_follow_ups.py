"""What is sent when a task has ended: links and errbacks."""

from __future__ import annotations

from typing import Any

from celeriac import Celeriac
from tests.unit.app.conftest import HandWorker, sent


class TestFollowUps:
    def test_links_get_the_value(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task
        def after(*args: Any, **kwargs: Any) -> None:
            seen.append((args, kwargs))

        @app.task
        def first() -> int:
            return 5

        receipt = first.apply_async(
            link=[after.s(1, k=2), after.si("fixed"), after.s().set(queue="images", priority=3, countdown=5)]
        )
        worker.run()
        assert seen == [((5, 1), {"k": 2}), (("fixed",), {}), ((5,), {})]
        assert len(receipt.children) == 3
        assert all(one.successful() for one in receipt.children)
        assert worker.settled[0].follow_ups[2].queue == "images"

    def test_links_are_children_in_the_family(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def after(value: Any) -> None: ...

        @app.task
        def first() -> None: ...

        receipt = first.apply_async(link=after.s(), root_id="root")
        worker.step()
        (message,) = worker.settled[0].follow_ups
        assert (message.parent_id, message.root_id) == (receipt.id, "root")

    def test_the_same_end_of_a_task_makes_the_same_messages(self, app: Celeriac) -> None:
        follow_ups = app.worker_surroundings("x").follow_ups

        @app.task
        def after(value: Any) -> None: ...

        parent = sent(app, after.apply_async((1,), task_id="p").id)
        made = [follow_ups.callbacks([dict(after.s()), dict(after.s())], parent, 5) for _ in range(2)]
        assert [one.id for one in made[0]] == [one.id for one in made[1]]
        assert made[0][0].id != made[0][1].id

    def test_links_of_links_follow_in_turn(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[int] = []

        @app.task
        def add(x: int, y: int) -> int:
            seen.append(x + y)
            return x + y

        last = add.s(100)
        second = add.s(10)
        second.link(last)
        add.apply_async((1, 1), link=second)
        worker.run()
        assert seen == [2, 12, 112]

    def test_a_link_to_a_task_that_is_elsewhere_is_sent(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def first() -> int:
            return 5

        first.apply_async(link=app.signature("elsewhere.mail", options={"queue": "mail"}))
        worker.step()
        (message,) = worker.settled[0].follow_ups
        assert (message.task, message.queue, message.argsrepr) == ("elsewhere.mail", "mail", "(5,)")

    def test_errbacks_of_both_kinds(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task
        def new_style(request: Any, exc: BaseException, traceback: str) -> None:
            seen.append((request.id, repr(exc), "ValueError" in traceback))

        @app.task
        async def new_style_coroutine(request: Any, exc: BaseException, traceback: str) -> None:
            seen.append(("coroutine", request.id))

        @app.task
        def old_style(task_id: str) -> None:
            seen.append(("old", task_id))

        @app.task
        def immutable() -> None:
            seen.append("immutable")

        @app.task
        def boom() -> None:
            raise ValueError("x")

        receipt = boom.apply_async(link_error=[new_style.s(), old_style.s(), immutable.si(), new_style_coroutine.s()])
        worker.step()
        assert seen == [(receipt.id, "ValueError('x')", True), ("coroutine", receipt.id)]
        worker.run()
        assert seen[2:] == [("old", receipt.id), "immutable"]

    def test_links_are_not_followed_after_a_failure_nor_errbacks_after_a_success(
        self, app: Celeriac, worker: HandWorker
    ) -> None:
        seen: list[str] = []

        @app.task
        def note(word: str, *rest: Any) -> None:
            seen.append(word)

        @app.task
        def work(fail: bool) -> str:
            if fail:
                raise ValueError
            return "value"

        for fail in (True, False):
            work.apply_async((fail,), link=note.si("link"), link_error=note.si("error"))
        worker.run()
        assert seen == ["error", "link"]
