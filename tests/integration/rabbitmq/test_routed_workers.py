"""Real workers with ``task_queues`` as Celery's users write them: exchanges, several bindings, broadcasts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers.rabbitmq.failures import NoSuchThing, Unroutable
from celeriac.core.ids import new_id
from tests.support.backing import SqliteBacking
from tests.support.fleet import Project
from tests.support.rabbitmq import shared_node
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
QUEUES = """
from celeriac import Broadcast, Exchange, Queue, binding

files, ids, news = Exchange("files-{x}", type="topic"), Exchange("ids-{x}"), Exchange("news-{x}", type="fanout")
app.conf.task_queues = [
    Queue("media-{x}", files, routing_key="media.#"),
    Queue("all-{x}", [binding(files, "#"), binding(news)]),
    Queue("one-{x}", ids, routing_key="one"),
    Broadcast("reload-{x}"),
]
app.conf.task_create_missing_queues = False
"""


class Backing(SqliteBacking):
    """The shared node, and a file as the store, or nothing."""

    def __init__(self, folder: Path, results: str | None) -> None:
        super().__init__(folder)
        self._results = results

    @property
    def url(self) -> str:
        return f"{shared_node().url}?timeout=10"

    @property
    def backend_url(self) -> str:
        return self._results or f"sqlite:///{self.path}"


def _bound(exchange: str) -> int:
    """Return how many queues are bound to exchanges of about that name."""
    bindings = shared_node().control("list_bindings", "-q", "source_name")
    return sum(exchange in line for line in bindings.splitlines())


@pytest.mark.parametrize("results", [None, "disabled://"], ids=["paired", "alone"])
def test_every_way_to_a_queue(tmp_path: Path, results: str | None) -> None:
    x = new_id()
    project = Project(tmp_path, Backing(tmp_path, results), extra=QUEUES.format(x=x))
    try:
        workers = [project.start_worker("-c", "1") for _ in range(2)]
        # A broadcast reaches the workers that listen when it is sent.
        wait_for(lambda: _bound(f"reload-{x}") == len(workers), 30, "each worker's own queue", every=0.5)
        note = project.app.tasks["note"]

        def send(**where: Any) -> str:
            return note.apply_async((0.0,), **where).id

        topic = send(exchange=f"files-{x}", routing_key="media.video.mp4")
        other = send(exchange=f"files-{x}", routing_key="text")
        fanout = send(exchange=f"news-{x}")
        direct = send(exchange=f"ids-{x}", routing_key="one")
        named = send(queue=f"one-{x}")
        everywhere = send(queue=f"reload-{x}")
        with pytest.raises(Unroutable, match="routing key 'two'"):
            send(exchange=f"ids-{x}", routing_key="two")
        with pytest.raises(NoSuchThing, match="task_create_missing_queues is off"):
            send(queue=f"unknown-{x}")

        def ran() -> Counter[str]:
            """Return the runs by the id that the sender knows; a copy has the name of its queue behind it."""
            return Counter(one.id.partition("@")[0] for one in project.diary() if one.word == "end")

        expected = {topic: 2, other: 1, fanout: 1, direct: 1, named: 1, everywhere: 2}
        wait_for(lambda: ran() == expected, 30, f"every copy, once: {expected}")
        told = {one.pid for one in project.diary() if one.id.startswith(everywhere)}
        assert [bool(told & set(worker.children())) for worker in workers] == [True, True]
        for worker in workers:
            worker.stop()
            warned = [line for line in worker.log().splitlines() if "needs a store" in line]
            assert bool(warned) == (results is not None), "a worker says at its start which promises need a store"
    finally:
        project.close()
