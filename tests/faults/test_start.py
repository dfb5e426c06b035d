"""Workers that cannot start, and what they say."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from celeriac.core import state
from tests.support.fleet import Project
from tests.support.waiting import wait_for

ONLY_CHILDREN_FAIL = """
import multiprocessing
if multiprocessing.current_process().name.startswith("celeriac-child"):
    raise RuntimeError("this module has had enough")
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_child_that_cannot_start_ends_the_worker_with_the_reason(
    make_project: Callable[..., Project], method: str
) -> None:
    # The fork server would import the module under another name for its children; -I imports in the children alone.
    project = make_project()
    (project.folder / "only_children_fail.py").write_text(ONLY_CHILDREN_FAIL)
    worker = project.start_worker("-c", "2", "--pool-start-method", method, "-I", "only_children_fail", wait=False)
    assert worker.wait(30) == 1, worker.log()
    worker.wait_gone()
    assert "RuntimeError: this module has had enough" in worker.log()
    assert "could not start" in worker.log()


@pytest.mark.timeout(60)
def test_module_that_cannot_be_imported_is_told_at_once(make_project: Callable[..., Project]) -> None:
    project = make_project(extra="\nraise RuntimeError('broken module')\n")
    worker = project.start_worker("-c", "1", wait=False)
    assert worker.wait(15) != 0
    assert "broken module" in worker.log()
    worker.wait_gone()


@pytest.mark.timeout(60)
def test_probe_answers_while_the_worker_works(make_project: Callable[..., Project]) -> None:
    project = make_project(worker_watchdog_timeout=1, worker_lease=2)
    worker = project.start_worker("-c", "1", "--health-port", "0")
    found = re.search(r"http://127\.0\.0\.1:\d+/health", worker.log())
    assert found is not None, worker.log()
    code, answer = probe(found[0])
    assert (code, answer["ok"], answer["children"], answer["problems"]) == (200, True, 1, [])
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    with pytest.raises(urllib.error.URLError):
        probe(found[0])


@pytest.mark.timeout(60)
def test_probe_tells_when_no_child_gets_to_work(make_project: Callable[..., Project]) -> None:
    """Its only child is stopped, so nothing is claimed; the supervisor replaces it, and all is well again."""
    project = make_project(worker_watchdog_timeout=1)
    worker = project.start_worker("-c", "1", "--health-port", "0")
    found = re.search(r"http://127\.0\.0\.1:\d+/health", worker.log())
    assert found is not None, worker.log()
    (first,) = worker.children()
    os.kill(first, signal.SIGSTOP)
    wait_for(lambda: probe(found[0])[0] == 503, 10, "the probe to tell")
    wait_for(lambda: probe(found[0])[0] == 200, 10, "the probe to tell that all is well again")
    assert set(worker.children()) != {first}
    (task,) = project.send("note", 1)
    assert project.wait_state(task) == state.SUCCESS
    worker.stop()


@pytest.mark.parametrize("driver", ["redis"], indirect=True)
def test_worker_waits_for_a_broker_that_starts_later(make_project: Callable[..., Project]) -> None:
    project = make_project()
    project.backing.stop()
    worker = project.start_worker("-c", "1", wait=False)
    wait_for(lambda: "Waiting for the store" in worker.log(), 20, "the worker to say what it waits for")
    project.backing.start_again()
    worker.wait_ready()
    (task,) = project.send("note", 1)
    assert project.wait_state(task) == state.SUCCESS
    worker.stop()


def probe(url: str) -> tuple[int, dict[str, Any]]:
    """Ask the HTTP probe; return its status code and answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)
