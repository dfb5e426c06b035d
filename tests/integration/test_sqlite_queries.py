"""The SQL of the SQLite broker: what it costs as the queue grows, what it leaves behind, and that all of it is used."""

import importlib
import itertools
import pkgutil
import re
import sqlite3
import time
from importlib.resources import files
from pathlib import Path

import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.sql.requests import for_items
from celeriac.brokers.sqlite import operations, queries
from celeriac.brokers.sqlite.connection import CHECKPOINT_PAGES
from celeriac.core.message import Message, Settlement, StoredResult

NAMES = sorted(entry.name.removesuffix(".sql") for entry in files(queries).iterdir() if entry.name.endswith(".sql"))
# These read everything of their kind, and are not asked on the way of a task.
READ_ALL = {"stats", "tallies", "workers", "page", "objects", "prune_owners", "prune_workers", "reclaim_end"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def text_of(name: str) -> str:
    return for_items(queries.query(name), ["x", "y"]).sql


def count_parameters(statement: str) -> int:
    largest = 0
    for number in re.findall(r"\?(\d*)", re.sub(r"--.*", "", statement)):
        largest = max(largest, int(number) if number else largest + 1)
    return largest


@pytest.mark.parametrize("name", NAMES)
def test_no_query_on_the_way_of_a_task_reads_through_a_table(name: str, path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.install()
        connection = sqlite3.connect(path)
        connection.create_function("now", 0, time.time)
        statement = text_of(name)
        parameters = [None] * count_parameters(statement)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        connection.close()
    scans = [step for step in plan if step.startswith("SCAN message") and "USING" not in step]
    assert scans == [] or name in READ_ALL, plan
    if name.startswith(("claim", "promote", "due", "settle", "start", "held", "holdings")):
        assert not [step for step in plan if "message" in step and step.startswith("SCAN") and "message_" not in step]


def test_every_file_is_used() -> None:
    modules = [
        importlib.import_module(f"{operations.__name__}.{found.name}")
        for found in pkgutil.iter_modules(operations.__path__)
    ]
    used = set()
    for module in modules:
        for value in vars(module).values():
            texts = value if isinstance(value, tuple) else (value,)
            used |= {text for text in texts if isinstance(text, str)}
    assert [name for name in NAMES if queries.query(name) not in used] == []


def cost(path: Path, backlog: int) -> float:
    """Return the median seconds of claiming and settling 50 tasks on top of a backlog."""
    ids = (f"task-{number:09d}" for number in itertools.count())
    with open_broker(f"sqlite:///{path}") as broker:
        for _ in range(backlog // 500):
            broker.enqueue([Message(id=next(ids), task="proj.add", queue="other") for _ in range(250)])
            broker.enqueue([Message(id=next(ids), task="proj.add") for _ in range(250)])
        seconds = []
        for _ in range(15):
            started = time.perf_counter()
            deliveries = broker.claim(["celery", "more"], 50, "w", 30.0)
            assert broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries]) == ()
            seconds.append(time.perf_counter() - started)
            assert len(deliveries) == 50
    return sorted(seconds)[len(seconds) // 2]


@pytest.mark.serial
def test_a_claim_costs_the_same_on_top_of_any_backlog(tmp_path: Path) -> None:
    # Ten times as much would be a search; what the disk and the machine do besides is far less.
    assert cost(tmp_path / "large.db", 50_000) < 4 * cost(tmp_path / "small.db", 5_000)


def test_the_log_stays_small_and_the_file_is_used_again(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker, open_broker(f"sqlite:///{path}") as looking:
        waiter = looking.waiter()
        ids = (f"task-{number}" for number in itertools.count())
        log = path.with_name("tasks.db-wal")
        largest = 0
        sizes = []
        for _ in range(60):
            broker.enqueue([Message(id=next(ids), task="proj.add", body=b"x" * 500) for _ in range(500)])
            deliveries = broker.claim(["celery"], 500, "w", 30.0)
            results = [StoredResult(id=one.lease.id, state="SUCCESS", expires=1.0) for one in deliveries]
            settlements = [
                Settlement(lease=one.lease, action="done", result=result)
                for one, result in zip(deliveries, results, strict=True)
            ]
            assert broker.settle(settlements) == ()
            assert broker.prune(None, 500) == 500
            assert waiter.wait(10) is True
            looking.stats()
            largest = max(largest, log.stat().st_size)
            sizes.append(path.stat().st_size)
        waiter.close()
    assert largest < 3 * CHECKPOINT_PAGES * 4096
    assert sizes[-1] < 4_000_000, "30,000 tasks of 500 bytes came and went"
    assert sizes[-1] <= sizes[len(sizes) // 2] * 1.1
