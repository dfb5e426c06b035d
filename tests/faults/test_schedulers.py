"""Five schedulers, of which any may be killed, stopped or told a wrong time: each due time is sent once."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from celeriac.scheduler.service import ROLE
from tests.support.fleet import Project
from tests.support.schedulers import WRONG_CLOCK, Drain, Receiver, Schedulers, account, add_entries, finish, settle_down
from tests.support.waiting import wait_for

DUE_TIMES = int(os.environ.get("SCHEDULE_DUE_TIMES", "6000"))
"""How many; 100000 for the proof that the documentation tells of."""
CRASHES = int(os.environ.get("SCHEDULE_CRASHES", "4"))
RATE = 1000.0
EVERY = 0.5


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["sqlite", "redis", "postgresql", "rabbitmq"], indirect=True)
def test_five_schedulers_in_trouble_send_each_due_time_once(
    make_project: Callable[..., Project], driver: object, rng: random.Random
) -> None:
    project = make_project(extra=WRONG_CLOCK)
    app = project.app
    app.broker.install()
    # The time of a file is that of its machine, and so of all its processes.
    schedulers = Schedulers(project, 5, steps_clocks=project.backing.traits.own_clock)
    drain = Drain(app)
    try:
        wait_for(lambda: not app.broker.elect(ROLE, "test", 0.001), 30, "a scheduler to lead", every=0.1)
        add_entries(app, int(RATE * EVERY), EVERY)
        drain.start()
        counts = schedulers.trouble(rng, time.monotonic() + DUE_TIMES / RATE)
        settle_down(app, drain)
    finally:
        schedulers.close()
    finish(drain)
    total, missed, doubled = account(app, drain, EVERY)
    assert (missed, doubled) == (0, 0), f"of {total} due times; {counts}"
    assert total >= DUE_TIMES * 0.8
    assert sum(counts.values()) > 3


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["redis", "postgresql"], indirect=True)
def test_a_store_that_crashes_takes_no_due_time_and_doubles_none(
    make_project: Callable[..., Project], driver: object, rng: random.Random
) -> None:
    project = make_project(keeps="everything")
    app = project.app
    app.broker.install()
    schedulers = Schedulers(project, 2, steps_clocks=False)
    receiver = Receiver(app)
    try:
        wait_for(lambda: not app.broker.elect(ROLE, "test", 0.001), 30, "a scheduler to lead", every=0.1)
        add_entries(app, 250, EVERY)
        receiver.start()
        for _ in range(CRASHES):
            seen, more = len(receiver.seen), rng.randrange(200, 800)
            wait_for(lambda: len(receiver.seen) > seen + more, 30, "more to be sent")  # noqa: B023
            project.backing.kill()
            project.backing.start_again()
        settle_down(app, receiver)
    finally:
        schedulers.close()
    finish(receiver)
    receiver.finish()
    total, missed, doubled = account(app, receiver, EVERY)
    assert (missed, doubled) == (0, 0), f"of {total} due times"
    assert total > 200 * CRASHES


def test_a_killed_leader_is_replaced_within_five_seconds_and_one_that_ends_at_once(project: Project) -> None:
    app = project.app
    app.broker.install()
    schedulers = Schedulers(project, 2, steps_clocks=False)
    drain = Drain(app)
    try:
        wait_for(lambda: not app.broker.elect(ROLE, "test", 0.001), 30, "a scheduler to lead", every=0.1)
        add_entries(app, 20, 0.2, misfire="once")
        drain.start()
        for number, longest in ((signal.SIGKILL, 5.0), (signal.SIGTERM, 2.0)):
            wait_for(lambda: drain.seen, 10, "something to be sent")
            leader = _leader(schedulers, app)
            began = time.monotonic()
            schedulers.processes[leader].send_signal(number)
            schedulers.processes[leader].wait(10)
            drain.seen.clear()
            wait_for(lambda: drain.seen, 10, "something to be sent by the other")
            assert time.monotonic() - began < longest
            schedulers.kill(leader)
    finally:
        schedulers.close()
        drain.stop()


def _leader(schedulers: Schedulers, app: object) -> int:
    """Return the place of the scheduler that leads: the one whose stop stops the sending."""
    import sqlite3

    folder = schedulers._project.backing.folder
    (path,) = list(folder.rglob("*.db"))
    with sqlite3.connect(path) as connection:
        ((holder,),) = connection.execute("SELECT holder FROM role WHERE name = ?", (ROLE,)).fetchall()
    pid = int(holder.split(":")[1])
    return [process.pid for process in schedulers.processes].index(pid)


def test_a_worker_can_be_the_scheduler(project: Project) -> None:
    app = project.app
    app.broker.install()
    app.schedule.add("often", "note", every=0.2)
    worker = project.start_worker("-B", "-c", "1", "-s", "somewhere", "--scheduler", "x:Y")
    project.wait_more(3)
    runs = app.schedule.history("often")
    assert "SUCCESS" in [run.state for run in runs]
    assert max(run.lateness for run in runs[:-1]) < 1.0
    assert "there is one scheduler" in worker.log()
    wait_for(lambda: app.broker.workers()[0].info["scheduler"]["fired"], 10, "the heartbeat to tell of it")
    assert app.broker.workers()[0].info["scheduler"]["leads"] is True
    app.schedule.add("strange", "nowhere", every=0.2)
    wait_for(lambda: "doubts" in app.broker.workers()[0].info["scheduler"], 10, "the heartbeat to tell of a bad entry")
    (doubt,) = app.broker.workers()[0].info["scheduler"]["doubts"]
    assert "'strange': no task 'nowhere' is registered here" in doubt
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    assert app.broker.elect(ROLE, "another", 1.0), "the lead was not handed over"


def probed(address: str) -> dict[str, Any]:
    """Return what a probe is told."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        told: dict[str, Any] = json.loads(answer.read())
    return told


def test_beat_tells_what_it_does_and_takes_what_celery_takes(project: Project) -> None:
    app = project.app
    app.broker.install()
    command = [sys.executable, "-m", "celeriac", "-A", project.module, "beat", "-l", "INFO", "-s", "x", "-S", "a:B"]
    command += ["--max-interval", "5", "--pidfile", "beat.pid", "--health-file", "beat.health", "--health-port", "0"]
    with (project.folder / "beat.log").open("wb") as log:
        beat = subprocess.Popen(command, cwd=project.folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        read = (project.folder / "beat.log").read_text
        wait_for(lambda: "leads" in read(), 20, "it to lead")
        app.schedule.add("soon", "note", every=0.1)
        wait_for(lambda: re.search(r"Sent due task soon \(note\[[0-9a-f-]+\]\)", read()), 5, "a line for what was sent")
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", read())
        assert probed(address) == {"ok": True, "problems": []}
        app.schedule.add("strange", "nowhere", every=0.1)
        wait_for(lambda: "notes" in probed(address), 10, "the probe to tell of a strange entry")
        assert probed(address)["ok"] is True
        assert "'strange': no task 'nowhere' is registered here" in probed(address)["notes"][0]
        assert int((project.folder / "beat.health").read_text()) == beat.pid
        beat.send_signal(signal.SIGTERM)
        assert beat.wait(10) == 0
    finally:
        beat.kill()
    assert not (project.folder / "beat.health").exists()
    for flag in ("-s", "-S", "--max-interval"):
        assert f"Note: {flag} has no effect" in read()
    assert not (project.folder / "beat.pid").exists()
