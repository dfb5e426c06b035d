"""examples/uploads: every upload asks for the same expensive job, and the last one wins; on a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import redis

from tests.support.servers import RedisServer
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
BURST = """
import json, time
from examples.uploads.app import app, upload
ids = [upload(1) for _ in range(20)] + [upload(2)]
waiting = {one.message.id: (one.state, one.message.eta) for one in app.broker.get(ids)}
print(json.dumps([[app.AsyncResult(one).state, *waiting.get(one, (None, None))] for one in ids]))
"""


def environment(server: RedisServer, rest: float) -> dict[str, str]:
    return {**os.environ, "UPLOADS_REDIS": server.url, "UPLOADS_REST": str(rest)}


def burst(server: RedisServer, rest: float) -> list[tuple[str, str | None, float]]:
    command = [sys.executable, "-c", BURST]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(server, rest), capture_output=True, text=True, timeout=30, check=True
    )
    return [(result, state, eta) for result, state, eta in json.loads(done.stdout)]


def test_of_a_burst_one_task_is_left_for_each_playlist(server: RedisServer) -> None:
    began = time.time()
    found = burst(server, 1800.0)
    assert [result for result, _, _ in found[:19]] == ["REVOKED"] * 19
    assert [state for _, state, _ in found] == [None] * 19 + ["SCHEDULED"] * 2
    assert all(began + 1790 < eta < time.time() + 1810 for _, _, eta in found[19:])


def test_one_cover_is_made(server: RedisServer) -> None:
    burst(server, 1.0)
    command = [sys.executable, "-m", "celeriac", "-A", "examples.uploads.app", "worker", "-P", "solo"]
    worker = subprocess.Popen(command, cwd=ROOT, env=environment(server, 1.0), stderr=subprocess.DEVNULL)
    try:
        with redis.Redis.from_url(server.url) as store:
            wait_for(lambda: store.get("covers-made:1") and store.get("covers-made:2"), 20, "both covers")
            worker.terminate()
            assert worker.wait(15) == 0
            assert (store.get("covers-made:1"), store.get("covers-made:2")) == (b"1", b"1")
    finally:
        worker.kill()
        worker.wait(5)
