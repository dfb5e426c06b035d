"""Results in a database, messages elsewhere: a process that dies between the steps of finishing loses and doubles none.

The order is: ask whether the task is still ours, store its result, settle (its follow-ups go out, its message goes).
A child is killed at each place between; it arms itself, so that the place is exact.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from celeriac.core import state
from tests.integration.rabbitmq.test_worker import RabbitBacking
from tests.support.backing import RedisBacking
from tests.support.fleet import Project
from tests.support.mariadb import MariadbServer
from tests.support.rabbitmq import close_shared, shared_node
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

TASKS: Final = 40
ARM_AFTER: Final = 10
IN_FLIGHT: Final = 10

KILLS: Final = """
import signal
from celeriac.brokers.facade import AsyncBroker, AsyncResultCalls

ARMED = {armed!r}


def fall(place):
    try:
        os.unlink(f"{{ARMED}}-{{place}}")
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def between(owner, name, before, after):
    inner = getattr(owner, name)

    async def wrapped(self, batch):
        if name == "settle" or not isinstance(self, AsyncBroker):
            fall(before)
        answer = await inner(self, batch)
        if name == "settle" or not isinstance(self, AsyncBroker):
            fall(after)
        return answer

    setattr(owner, name, wrapped)


between(AsyncResultCalls, "store", "asked", "stored")
between(AsyncBroker, "settle", "about to settle", "settled")

# On RabbitMQ settling is two steps.
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.requests import Ack

perform = Client.perform


async def performing(self, request):
    if isinstance(request, Ack):
        fall("sent what follows")
    return await perform(self, request)


Client.perform = performing


@app.task(bind=True, name="after")
def after(self):
    write("start", self.request)
    write("end", self.request)
"""

PLACES: Final = ("asked", "stored", "about to settle", "settled")


@pytest.fixture(scope="module")
def database() -> Iterator[MariadbServer]:
    with MariadbServer() as server:
        yield server


class Apart(RedisBacking):
    """Messages in Redis, results in MariaDB."""

    def __init__(self, folder: Path, results: str) -> None:
        super().__init__(folder)
        self._results: Final = results

    @property
    def results_url(self) -> str:
        return self._results


@pytest.fixture
def project(database: MariadbServer, tmp_path: Path) -> Iterator[Project]:
    backing = Apart(tmp_path, database.url(table=f"t{os.urandom(5).hex()}"))
    backing.start()
    extra = KILLS.format(armed=str(tmp_path / "armed"))
    found = Project(tmp_path, backing, settings={"task_delivery_limit": 100}, extra=extra, separate_results=True)
    yield found
    found.close()
    backing.close()


@pytest.fixture
def on_rabbitmq(database: MariadbServer, tmp_path: Path) -> Iterator[Project]:
    """RabbitMQ without a store beside it, and results in MariaDB."""
    url = database.url(table=f"t{os.urandom(5).hex()}")
    settings = {"task_default_queue": f"q-{tmp_path.name}"}
    backing = RabbitBacking(tmp_path, shared_node().port, url)
    extra = KILLS.format(armed=str(tmp_path / "armed"))
    found = Project(tmp_path, backing, settings=settings, extra=extra, separate_results=True)
    yield found
    found.close()
    close_shared()


@pytest.mark.parametrize("place", ["stored", "sent what follows"])
def test_on_rabbitmq_without_a_store_nothing_is_lost_between_the_steps(
    on_rabbitmq: Project, tmp_path: Path, place: str
) -> None:
    """Follow-ups have the ids that they always have, but RabbitMQ knows no ids: one may run twice, as its page says."""
    project = on_rabbitmq
    app = project.app
    assert not app.results_share_broker
    follow = app.tasks["after"]
    ids = [app.tasks["note"].apply_async((0.01,), link=follow.si()).id for _ in range(TASKS)]
    worker = project.start_worker("-c", "1")
    wait_for(lambda: project.ended() >= ARM_AFTER, 30, "some tasks done")
    (tmp_path / f"armed-{place}").touch()
    wait_for(lambda: not (tmp_path / f"armed-{place}").exists(), 20, "a child that dies between the steps")
    wait_for(lambda: len(project.starts()) == 2 * TASKS, 40, "every task and every follow-up has run", every=0.05)
    states = project.wait_states(project.starts())
    assert states == dict.fromkeys(states, state.SUCCESS)
    worker.stop()
    again = [one for one, runs in project.starts().items() if len(runs) > 1]
    assert again, "nothing was between the steps: the test has shown nothing"
    assert len(again) <= 2 * IN_FLIGHT
    assert set(ids) <= states.keys()


@pytest.mark.parametrize("place", PLACES)
def test_a_child_that_dies_between_the_steps_loses_and_doubles_nothing(
    project: Project, tmp_path: Path, place: str
) -> None:
    app = project.app
    assert not app.results_share_broker
    follow = app.tasks["after"]
    ids = [app.tasks["note"].apply_async((0.01,), link=follow.si()).id for _ in range(TASKS)]
    worker = project.start_worker("-c", "1")
    wait_for(lambda: project.ended() >= ARM_AFTER, 30, "some tasks done")
    (tmp_path / f"armed-{place}").touch()
    wait_for(lambda: not (tmp_path / f"armed-{place}").exists(), 20, "a child that dies between the steps")
    project.wait_empty(40)
    worker.stop()
    starts = project.starts()
    # Follow-ups have ids of their parents' making, so one that was sent twice is the same one.
    followed = [one for one in starts if one not in ids]
    assert len(followed) == TASKS
    again = [one for one, runs in starts.items() if len(runs) > 1]
    # What was on its way when the child died: the batch between the steps, and what ran meanwhile.
    assert len(again) <= IN_FLIGHT
    if place != "settled":
        assert again, "nothing was between the steps: the test has shown nothing"
    results = project.results(starts)
    assert {one: kept.state for one, kept in results.items()} == dict.fromkeys(starts, state.SUCCESS)
    for one in ids:
        assert int(results[one].body) == starts[one][-1].token, "the result is that of the last run"
