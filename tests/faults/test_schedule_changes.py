"""What another process changes of the schedule is heeded by a running ``celeriac beat`` within a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from celeriac import Celeriac
from celeriac.scheduler.service import ROLE
from tests.support.fleet import Project
from tests.support.schedulers import Drain, Schedulers
from tests.support.waiting import wait_for

PROMPT = 1.0
"""Seconds within which a change acts."""


class Watch:
    """Sees what is sent, by entry; an entry that goes on shows that the scheduler does."""

    def __init__(self, app: Celeriac, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    def dues(self, name: str) -> list[float]:
        """Return the due times of what was sent for an entry."""
        return [due for entry, due in list(self._drain.seen) if entry == name]

    def until_sent(self, change: Callable[[], object]) -> float:
        """Return the seconds from a change to the next run of ``poll``, which must be due after it."""
        at, began = self._app.broker.now(), time.monotonic()
        change()
        wait_for(lambda: any(due > at for due in self.dues("poll")), 10, "a run after the change")
        return time.monotonic() - began

    def nothing_after(self, change: Callable[[], object]) -> None:
        """Make a change after which ``poll`` is sent no more, and see that it is not while others are."""
        change()
        at, others = self._app.broker.now(), len(self.dues("other"))
        wait_for(lambda: len(self.dues("other")) > others + 5, 10, "the other entry to be sent")
        assert [due - at for due in self.dues("poll") if due > at] == []


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["sqlite", "redis", "postgresql", "rabbitmq"], indirect=True)
def test_a_change_by_another_process_acts_within_a_second(make_project: Callable[..., Project], driver: object) -> None:
    project = make_project()
    app = project.app
    app.broker.install()
    schedulers = Schedulers(project, 1, steps_clocks=False)
    drain = Drain(app)
    watch = Watch(app, drain)
    schedule = app.schedule
    took: dict[str, float] = {}
    try:
        wait_for(lambda: not app.broker.elect(ROLE, "test", 0.001), 30, "a scheduler to lead", every=0.1)
        drain.start()
        took["added"] = watch.until_sent(lambda: schedule.add("poll", "note", every=0.2))
        schedule.add("other", "note", every=0.1)
        watch.nothing_after(lambda: schedule.update("poll", every=3600))
        took["changed"] = watch.until_sent(lambda: schedule.update("poll", every=0.2))
        watch.nothing_after(lambda: schedule.disable("poll"))
        took["enabled"] = watch.until_sent(lambda: schedule.enable("poll"))
        watch.nothing_after(lambda: schedule.remove("poll"))
    finally:
        schedulers.close()
        drain.stop()
    assert max(took.values()) < PROMPT, took
