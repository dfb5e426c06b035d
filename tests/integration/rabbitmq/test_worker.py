"""Real workers on RabbitMQ: killed, and with their connections cut, they lose nothing."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backing import SqliteBacking
from tests.support.fleet import Project
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode
from tests.support.waiting import wait_for

TASKS = 400
pytestmark = pytest.mark.slow


class RabbitBacking(SqliteBacking):
    """RabbitMQ by way of a proxy, and a file as the store."""

    def __init__(self, folder: Path, port: int, store: str | None) -> None:
        super().__init__(folder)
        self._url = f"amqp://guest:guest@127.0.0.1:{port}/?timeout=10"
        self._store = store

    @property
    def url(self) -> str:
        return self._url

    @property
    def results_url(self) -> str:
        return f"sqlite:///{self.path}" if self._store is None else self._store


@pytest.fixture
def proxy(node: RabbitNode) -> Iterator[Proxy]:
    with Proxy(node.port) as proxy:
        yield proxy


def _project(folder: Path, proxy: Proxy, store: str | None = None) -> Project:
    backing = RabbitBacking(folder, proxy.port, store)
    queue = f"q-{folder.name}"
    return Project(folder, backing, settings={"task_default_queue": queue}, separate_results=True)


def _ends(project: Project) -> Counter[str]:
    return Counter(entry.id for entry in project.diary() if entry.word == "end")


@pytest.mark.parametrize("store", [None, "disabled://"], ids=["paired", "alone"])
def test_a_killed_child_and_cut_connections_lose_nothing(tmp_path: Path, proxy: Proxy, store: str | None) -> None:
    project = _project(tmp_path, proxy, store)
    try:
        ids = project.send_each("note", [0.005] * TASKS)
        worker = project.start_worker("-c", "2")
        project.wait_more(TASKS // 4)
        os.kill(next(iter(worker.children())), signal.SIGKILL)
        project.wait_more(TASKS // 8)
        proxy.drop()
        wait_for(lambda: set(_ends(project)) >= set(ids), 60, "every task has run", every=0.05)
        twice = [id for id, runs in _ends(project).items() if runs > 1]
        if store is None:
            # What ran in the child that was killed; a lost connection takes nothing from a worker.
            assert len(twice) <= 2
            project.wait_states(ids)
        else:
            # Without a store, whatever was claimed when the connection was cut runs again, too.
            assert len(twice) < TASKS // 4
        worker.stop()
    finally:
        project.close()


def test_a_lost_worker_is_replaced_in_time(tmp_path: Path, proxy: Proxy) -> None:
    """A whole worker dies with a task that has started: another one runs it when the lease has run out."""
    project = _project(tmp_path, proxy)
    try:
        (id,) = project.send("note", 1, 60.0)
        first = project.start_worker("-c", "1")
        project.wait_started(id)
        project.start_worker("-c", "1")
        first.kill_all()
        project.wait_started(id, 2, timeout=20.0)
    finally:
        project.close()
