"""Children come without multiprocessing's helper, and have one of their own when they need it."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

RUN: Final = """
import multiprocessing, os, sys
from multiprocessing import resource_tracker, shared_memory
from celeriac.worker import tracker

def child(link):
    tracker.forget()
    before = resource_tracker._resource_tracker._fd
    shared = shared_memory.SharedMemory(create=True, size=10)
    link.send((before, resource_tracker._resource_tracker._pid is not None))
    shared.close()
    shared.unlink()

if __name__ == "__main__":
    if sys.argv[1] == "running":
        resource_tracker.ensure_running()
    before = resource_tracker._resource_tracker._pid
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    with tracker.untracked():
        process.start()
    after = resource_tracker._resource_tracker._pid
    said = ours.recv()
    process.join()
    print(before == after, after is None, said[0] is None, said[1], process.exitcode)
"""


def run(tmp_path: object, how: str) -> str:
    path = f"{tmp_path}/run.py"
    with open(path, "w") as file:
        file.write(RUN)
    done = subprocess.run([sys.executable, path, how], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.strip()


def test_no_tracker_is_started_and_a_child_that_needs_one_has_its_own(tmp_path: object) -> None:
    assert run(tmp_path, "absent") == "True True True True 0"


def test_a_tracker_that_runs_is_used_by_the_children(tmp_path: object) -> None:
    assert run(tmp_path, "running") == "True False False False 0"
