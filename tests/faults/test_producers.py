"""A producer is killed inside a bulk call: each batch was kept whole or not at all, and all of it can be sent again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter

from celeriac.brokers.port import MAX_BATCH
from tests.support.fleet import Project
from tests.support.scenarios import on, whole
from tests.support.tally import Incident, conclude, count, sized
from tests.support.waiting import wait_for

MESSAGES = sized(6_000, 20_000)
KILLS = sized(2, 6)

SENDER = """
import sys
from celeriac.brokers import open_broker
from celeriac.core.codec import encode_args
from celeriac.core.message import Message

url, prefix, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
body = encode_args((0.0,), {}).body
messages = [Message(id=f"{prefix}-{n:06}", task="note", body=body) for n in range(count)]
with open_broker(url) as broker:
    print("ready", flush=True)
    sys.stdin.readline()
    broker.enqueue(messages)
    print("sent", flush=True)
"""


def kept(project: Project, ids: list[str]) -> list[str]:
    """Return those of the ids that the broker has, in order."""
    found = project.held(ids)
    return [one for one in ids if one in found]


@on(whole)
def test_producer_is_killed_in_a_bulk_call(project: Project, rng: random.Random) -> None:
    project.app.broker.install()
    everything: list[str] = []
    faults: list[Incident] = []
    partial = 0
    for number in range(KILLS):
        prefix = f"bulk-{number}"
        ids = [f"{prefix}-{n:06}" for n in range(MESSAGES)]
        command = (sys.executable, "-c", SENDER, project.backing.url, prefix, str(MESSAGES))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            assert sender.stdout.readline() == b"ready\n"
            sender.stdin.write(b"\n")
            sender.stdin.flush()
            goal = rng.randrange(1, MESSAGES // 2)
            wait_for(lambda: backlog(project) >= len(everything) + goal, 20, "the call under way", every=0.0005)  # noqa: B023
            sender.send_signal(signal.SIGKILL)
        faults.append(Incident(time.monotonic()))
        found = kept(project, ids)
        assert found == ids[: len(found)], "what was kept is not the beginning of what was sent"
        assert len(found) % MAX_BATCH == 0, "a batch was kept in part"
        partial += 0 < len(found) < MESSAGES
        subprocess.run(command, input=b"\n", stdout=subprocess.DEVNULL, check=True)
        assert kept(project, ids) == ids
        everything += ids
    worker = project.start_worker("-c", "2")
    project.wait_empty(120)
    assert Counter(len(runs) for runs in project.starts().values()) == {1: len(everything)}
    figures = count(project, everything, faults, recovery=())
    note = (
        f"{partial} of {KILLS} calls were cut short, each between two batches of {MAX_BATCH}; then all was sent again"
    )
    conclude(project, "producers", "SIGKILL of a producer in a bulk call", figures, note=note)
    assert partial, "no call was cut short: the test has shown nothing"
    worker.stop()


def backlog(project: Project) -> int:
    """Return how many messages wait."""
    return sum(one.ready for one in project.app.broker.stats())
