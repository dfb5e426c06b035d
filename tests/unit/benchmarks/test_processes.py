"""No process of a benchmark outlives it, whatever ends it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.processes import Processes, ProcessFailed, Running, usage

# A process with a child; neither ends by SIGTERM.
STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print("up", flush=True)
while True:
    signal.pause()
"""


def started(processes: Processes, program: str) -> Running:
    return processes.start("program", [sys.executable, "-c", program], os.environ)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def wait_until_both_run(running: Running) -> None:
    wait_for(lambda: running.log.read_text().count("up") == 2)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_program_that_ends_well_is_waited_for(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        running = started(processes, "print('ready')")
        processes.wait(running, 10)
        assert running.log.read_text() == "ready\n"


def test_a_program_that_fails_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        running = started(processes, "import sys; print('what happened'); sys.exit(3)")
        with pytest.raises(ProcessFailed, match=r"exit code 3[\s\S]*what happened"):
            processes.wait(running, 10)


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        running = started(processes, "import signal; signal.pause()")
        with pytest.raises(ProcessFailed, match="did not end within"):
            processes.wait(running, 0.05)
        assert is_gone(running.process.pid)


def test_what_does_not_end_is_killed_with_its_children_and_that_is_told(tmp_path: Path) -> None:
    with Processes(tmp_path, grace=0.05) as processes:
        running = started(processes, STUBBORN)
        wait_until_both_run(running)
        pids = [member.pid for member in running.members()]
        assert len(pids) == 2
        with pytest.raises(ProcessFailed, match="was killed"):
            processes.stop(running)
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt), Processes(tmp_path, grace=0.05) as processes:
        running = started(processes, STUBBORN)
        wait_until_both_run(running)
        pids += [member.pid for member in running.members()]
        os.kill(os.getpid(), number)
        signal.pause()
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)
    assert signal.getsignal(number) is before


def test_usage_is_that_of_all_processes(tmp_path: Path) -> None:
    with Processes(tmp_path, grace=0.05) as processes:
        running = started(processes, STUBBORN)
        wait_until_both_run(running)
        found = usage(running)
    assert found.processes == 2
    assert found.rss > 5_000_000
    assert found.pss is None or 0 < found.pss < found.rss
    assert found.cpu > 0
