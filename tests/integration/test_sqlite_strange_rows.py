"""Rows that somebody else wrote into the file, with other types than ours: they cost themselves and nobody else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from celeriac.brokers import open_broker
from celeriac.core.message import Message, pack


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("payload", "text"),
        ("payload", 5),
        ("payload", b""),
        ("priority", "high"),
        ("priority", b"\xff"),
        ("task", b"\xff"),
    ],
)
def test_row_of_other_types_stops_no_claim(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "q.db"
    with open_broker(f"sqlite:///{path}") as broker:
        broker.enqueue([Message(id="good", task="t")])
        row = {"id": "odd", "queue": "celery", "task": "t", "priority": 0, "state": 0, "changed": time.time()}
        row |= {"payload": pack(Message(id="odd", task="t")), column: value}
        with sqlite3.connect(path, timeout=10) as connection:
            connection.execute(
                f"INSERT INTO message ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
            )
        connection.close()
        assert {one.id for one in broker.get(["good", "odd"])} == {"good", "odd"}
        claimed = {one.lease.id: one for one in broker.claim(["celery"], 10, "w", 10.0)}
        assert set(claimed) == {"good", "odd"}
        assert claimed["good"].message is not None
        if column == "payload":
            assert claimed["odd"].message is None
            assert isinstance(claimed["odd"].raw, bytes)


def test_unreadable_record_of_a_worker_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    with open_broker(f"sqlite:///{path}") as broker:
        broker.install()
        with sqlite3.connect(path, timeout=10) as connection:
            connection.execute("INSERT INTO worker (name, seen, expires, record) VALUES ('odd', 0, 9e9, x'ff')")
        connection.close()
        assert broker.workers() == []
