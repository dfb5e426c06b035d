"""Real workers on a server that takes deliveries away after two seconds, with a task that runs for eight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.backing import SqliteBacking
from tests.support.fleet import Project
from tests.support.rabbitmq import RabbitNode
from tests.support.waiting import wait_for

TIMEOUT = 2.0
LONG = 8.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
RENEW = """
from celeriac.brokers.rabbitmq.renewal import Renewal
Renewal.__init__.__kwdefaults__["after"] = {after}
"""


class Backing(SqliteBacking):
    """The node, and a file as the store."""

    def __init__(self, folder: Path, url: str, results: str | None) -> None:
        super().__init__(folder)
        self._url = url
        self._results = results

    @property
    def url(self) -> str:
        return self._url

    @property
    def backend_url(self) -> str:
        return self._results or f"sqlite:///{self.path}"


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    found = RabbitNode(settings={"consumer_timeout": f"{TIMEOUT * 1000:.0f}", "channel_tick_interval": "500"})
    try:
        yield found.start()
    finally:
        found.close()


@contextmanager
def working(folder: Path, node: RabbitNode, queue_type: str, results: str | None, after: float) -> Iterator[Project]:
    """Yield a project with a worker whose deliveries are renewed after so many seconds."""
    backing = Backing(folder, f"{node.url}?queue_type={queue_type}", results)
    settings = {"task_default_queue": f"q-{folder.name}"}
    project = Project(folder, backing, settings=settings, extra=RENEW.format(after=after))
    try:
        project.start_worker("-c", "2")
        yield project
    finally:
        project.close()


def ended(project: Project) -> set[str]:
    return {one.id for one in project.diary() if one.word == "end"}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize("results", [None, "disabled://"], ids=["paired", "alone"])
def test_a_long_task_runs_once(tmp_path: Path, node: RabbitNode, queue_type: str, results: str | None) -> None:
    with working(tmp_path, node, queue_type, results, 0.5) as project:
        (task,) = project.send("note", 1, LONG)
        wait_for(lambda: task in ended(project), LONG + 30, "the end of the task")
        following = project.send("note", 5)
        wait_for(lambda: ended(project) >= set(following), 20, "what came later")
        assert len(project.runs(task)) == 1


def test_the_server_does_take_away_what_is_not_renewed(tmp_path: Path, node: RabbitNode) -> None:
    """Otherwise the test above would show nothing."""
    with working(tmp_path, node, "classic", "disabled://", 600.0) as project:
        (task,) = project.send("note", 1, LONG)
        wait_for(lambda: len(project.runs(task)) > 1, LONG + 30, "a second run of the task")
