"""``celeriac doctor``: whom it examines, what it writes, and its exit code."""

from __future__ import annotations

import os

from celeriac.brokers import open_broker
from celeriac.brokers.port import WorkerRecord
from celeriac.core.message import Message, Settlement
from tests.unit.cli.conftest import Celeriac


def test_the_exit_code_is_the_worst_level(celeriac: Celeriac) -> None:
    assert "does not exist yet" in celeriac("doctor", code=2).out
    assert not (celeriac.folder / "q.db").exists()
    with open_broker(f"sqlite:///{celeriac.folder}/q.db") as broker:
        broker.install()
        os.chmod(celeriac.folder / "q.db", 0o600)
        assert "[broker] sqlite:///q.db" in celeriac("doctor", "--self-test").out
        broker.heartbeat(WorkerRecord(name="w", owners=("w/1",), info={"queues": ["celery"]}), 60.0)
        broker.enqueue([Message(id="a", task="t")])
        (delivery,) = broker.claim(["celery"], 1, "w/1", 30.0)
        broker.settle([Settlement(lease=delivery.lease, action="dead", reason="poison")])
    done = celeriac("doctor", code=1)
    assert "1 in 'celery'" in done.out
    assert "celeriac dlq list" in done.out
    assert done.out.rstrip().endswith("1 warning.")


def test_a_url_needs_no_app(celeriac: Celeriac) -> None:
    (store,) = celeriac.json("doctor", "memory://doctor")["stores"]
    assert store["url"] == "memory://doctor"
    assert store["role"] == "broker"
    assert {"connection", "latency", "clock", "durability"} <= {one["subject"] for one in store["findings"]}
    assert celeriac("doctor", "memory://doctor", app=None).out.startswith("[broker] memory://doctor\n")
    assert "which app?" in celeriac("doctor", app=None, code=2).err
    assert "unknown scheme" in celeriac("doctor", "sqlit:///x", app=None, code=2).err


def test_another_result_store_is_examined_too(celeriac: Celeriac) -> None:
    celeriac("-b", "sqlite:///q.db", "db", "upgrade", app=None)
    done = celeriac("--result-backend", "sqlite:///r.db", "doctor", code=2)
    assert "[result store] sqlite:///r.db" in done.out
    celeriac("--result-backend", "sqlite:///r.db", "db", "upgrade")
    assert celeriac("--result-backend", "sqlite:///r.db", "doctor", code=None).code < 2


def test_no_password_is_shown(celeriac: Celeriac) -> None:
    for words in (("doctor", "sqlite://user:hunter2@/q.db"), ("doctor", "redis://:hunter2@localhost:1/0")):
        done = celeriac(*words, app=None, code=2)
        assert "hunter2" not in done.out + done.err
