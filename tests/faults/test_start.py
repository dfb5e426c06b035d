"""Workers that cannot start, and what they say."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

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
def test_probe_answers_while_the_worker_works(project: Project) -> None:
    worker = project.start_worker("-c", "1", "--health-port", "0", "-l", "INFO")
    # The port is picked by the system; the worker says which.
    wait_for(lambda: "health" in worker.log().lower(), 5, "the port in the log")
    worker.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen("http://127.0.0.1:9/health", timeout=1)
