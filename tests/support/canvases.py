"""Canvases of all kinds, random or written out, and what they come to in the ways in which they can be run."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from celeriac import Celeriac, GroupResult, Signature, chain, chord, group
from celeriac.errors import Ignore, Reject
from celeriac.testing import Kit, NothingRuns, start_worker
from tests.support.waiting import wait_for

NOTHING: Final = ("nothing",)
"""What is told of a task that leaves no result."""
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Broken(Exception):
    """What steps raise."""


class Canvases:
    """An app with tasks of all kinds, which note each of their runs."""

    def __init__(self, name: str) -> None:
        url = f"memory://{name}"
        self.app = app = Celeriac(name, broker=url, backend=url, set_as_current=False)
        self.runs: list[tuple[Any, ...]] = []
        note = self.runs.append

        @app.task(name="step")
        def step(*args: Any, **kwargs: Any) -> list[Any]:
            note(("step", _frozen(args), _frozen(kwargs)))
            return [*args, *kwargs.items()]

        @app.task(name="astep")
        async def astep(*args: Any) -> list[Any]:
            note(("astep", _frozen(args)))
            return ["a", *args]

        @app.task(name="broken")
        def broken(*args: Any) -> None:
            note(("broken", _frozen(args)))
            raise Broken(f"no {len(args)}")

        @app.task(name="again", bind=True, max_retries=3, default_retry_delay=60)
        def again(self: Any, *args: Any) -> int:
            note(("again", _frozen(args), self.request.retries))
            if self.request.retries < 2:
                raise self.retry(exc=Broken("again"))
            return int(self.request.retries)

        @app.task(name="worn", bind=True, autoretry_for=(Broken,), max_retries=1, default_retry_delay=60)
        def worn(self: Any, *args: Any) -> None:
            note(("worn", _frozen(args), self.request.retries))
            raise Broken("worn out")

        @app.task(name="quiet", ignore_result=True)
        def quiet(*args: Any) -> str:
            note(("quiet", _frozen(args)))
            return "quiet"

        @app.task(name="ignores")
        def ignores(*args: Any) -> None:
            note(("ignores", _frozen(args)))
            raise Ignore("ignored")

        @app.task(name="rejects")
        def rejects(*args: Any) -> None:
            note(("rejects", _frozen(args)))
            raise Reject("rejected", requeue=False)

        self._define_those_that_send()
        self.tasks = app.tasks

    def _define_those_that_send(self) -> None:
        app, note = self.app, self.runs.append

        @app.task(name="replaces", bind=True, autoretry_for=(Broken,), max_retries=1)
        def replaces(self: Any, *args: Any, by: Any) -> Any:
            note(("replaces", _frozen(args)))
            return self.replace(Signature.from_dict(by, app=app))

        @app.task(name="sends", bind=True)
        def sends(self: Any, *args: Any, what: Any) -> str:
            note(("sends", _frozen(args)))
            Signature.from_dict(what, app=app).apply_async()
            return "sent"

        @app.task(name="grows", bind=True)
        def grows(self: Any, *args: Any) -> str:
            note(("grows", _frozen(args), self.request.chord is not None))
            if self.request.chord is not None:
                self.add_to_chord(app.tasks["step"].s("added"))
            return "grown"

        @app.task(name="linked")
        def linked(value: Any, word: str = "") -> None:
            note(("linked", _frozen(value), word))

        @app.task(name="told")
        def told(request: Any, exc: Any, traceback: Any) -> None:
            note(("told", request.task, type(exc).__name__, _ID.sub("ID", str(exc))))

        @app.task(name="errback")
        def errback(task_id: str) -> None:
            note(("errback", isinstance(task_id, str)))

    def s(self, name: str, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature of a task."""
        return self.tasks[name].s(*args, **kwargs)

    # What a canvas comes to.

    def eagerly(self, canvas: Signature, given: tuple[Any, ...] = ()) -> tuple[Any, Counter[Any]]:
        """Run it eagerly."""
        self.app.conf.task_always_eager = True
        try:
            return self._run(canvas, given, nullcontext(), lambda: None)
        finally:
            self.app.conf.task_always_eager = False

    def by_kit(self, canvas: Signature, given: tuple[Any, ...] = ()) -> tuple[Any, Counter[Any]]:
        """Run it by a kit."""
        kit = Kit(self.app)
        return self._run(canvas, given, kit, lambda: kit.finish(raises=False))

    def by_worker(self, canvas: Signature, given: tuple[Any, ...] = ()) -> tuple[Any, Counter[Any]]:
        """Run it by a worker in threads; nothing in it may have to wait for a time."""
        return self._run(canvas, given, start_worker(self.app), self._wait)

    def _wait(self) -> None:
        wait_for(
            lambda: not any(one.ready + one.scheduled + one.owned for one in self.app.broker.stats()),
            20,
            "an empty store",
        )

    def _run(
        self,
        canvas: Signature,
        given: tuple[Any, ...],
        around: AbstractContextManager[Any],
        finish: Callable[[], Any],
    ) -> tuple[Any, Counter[Any]]:
        self.runs.clear()
        with around:
            result = canvas.clone().apply_async(given)
            finish()
            found = outcome(result)
        return found, Counter(self.runs)


def same(one: Any, other: Any) -> bool:
    """Tell whether two outcomes are the same. Eager mode gives the value of a task whose result is ignored, too."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return NOTHING in (one, other) or one == other


def outcome(result: Any) -> Any:
    """Return what a result came to: a value, or an error in words; of a group the list of them."""
    if isinstance(result, GroupResult):
        return [outcome(one) for one in result.results]
    if result.ignored or result.state in ("PENDING", "IGNORED"):
        return NOTHING
    try:
        return ("value", result.get(timeout=20))
    except NothingRuns:
        return NOTHING
    except Exception as exc:
        return ("error", type(exc).__name__, _ID.sub("ID", str(exc)))


def _frozen(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(one) for one in value)
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(one)) for key, one in value.items()))
    return value


KINDS = ("step", "step", "step", "astep", "broken", "again", "worn", "quiet", "ignores", "rejects", "grows")


def drawn(canvases: Canvases, shape: Any, rng: random.Random, *, failing: float, depth: int = 0) -> Signature:
    """Return a canvas of a shape.

    Args:
        canvases: Whose tasks it is made of.
        shape: ``"step"``, or ("chain" | "group" | "chord" | "replace" | "send", list of shapes).
        rng: Draws the tasks, their arguments, callbacks and so on.
        failing: The share of the tasks that are no plain ones.
        depth: How deep it is nested already.
    """
    if shape == "step":
        return _step(canvases, rng, failing)
    kind, parts = shape
    made = [drawn(canvases, one, rng, failing=failing, depth=depth + 1) for one in parts]
    if kind == "group":
        return group(made)
    if kind == "chord":
        return chord(made[:-1], made[-1]) if len(made) > 1 else chain(made)
    if kind == "replace":
        return canvases.s("replaces", by=chain(made) if len(made) > 1 else made[0])
    if kind == "send":
        return canvases.s("sends", what=group(made))
    return chain(made)


def _step(canvases: Canvases, rng: random.Random, failing: float) -> Signature:
    name = rng.choice(KINDS) if rng.random() < failing else rng.choice(KINDS[:4])
    one = canvases.s(name, *[rng.randrange(100) for _ in range(rng.choice((0, 1, 1, 2)))])
    if rng.random() < 0.15:
        one = one.clone()
        one.set_immutable(True)
    if rng.random() < 0.15:
        one.link(canvases.s("linked", "after"))
    if rng.random() < 0.15:
        one.link_error(canvases.s(rng.choice(("errback", "told"))))
    return one
