from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import check
from scripts.check import GROUPS, Result, Step, run, run_static, static_steps, summary
from scripts.docs_nav import navigation


def python(name: str, code: str) -> Step:
    return Step(name, "lint", (sys.executable, "-c", code))


def test_all_steps_run_and_only_what_failed_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [
        python("bad", "print('why it failed'); raise SystemExit(3)"),
        python("good", "print('nobody needs this')"),
        python("worse", "import os; os.write(2, b'on stderr'); os.kill(os.getpid(), 9)"),
    ]
    results = run_static(steps)
    assert {result.step.name: result.exit_code for result in results} == {"bad": 3, "good": 0, "worse": -9}
    out = capsys.readouterr().out
    assert "why it failed" in out
    assert "on stderr" in out
    assert "nobody needs this" not in out
    assert summary(results, 1.0).startswith("2 of 3 checks failed in 1.0 s: ")


def test_steps_run_in_the_root_of_the_checkout() -> None:
    result = run(python("where", "import os; print(os.getcwd())"))
    assert Path(result.output.strip()) == Path(__file__).parents[3]


def test_a_step_that_is_told_to_end_may_tidy_up(tmp_path: Path) -> None:
    code = """if True:
        import signal, sys, time
        from pathlib import Path
        # A run in the background of a shell begins with interrupts ignored, and all it starts inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            Path(sys.argv[1]).touch()
            time.sleep(60)
        except KeyboardInterrupt:
            print("tidied up")
            raise SystemExit(2)
    """
    started = tmp_path / "started"
    runner = (
        "import sys; from scripts.check import Step, run_in_sight\n"
        "print(run_in_sight(Step('s', 'tests', (sys.executable, '-c', *sys.argv[1:]))).exit_code)"
    )
    command = [sys.executable, "-c", runner, code, str(started)]
    with subprocess.Popen(command, cwd=check.ROOT, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not started.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0].split() == ["tidied", "up", "2"]


def test_the_last_line_says_that_all_is_well() -> None:
    assert summary([Result(python("a", ""), 0, 0.1)], 2.04) == "All 1 checks passed in 2.0 s"


def test_every_group_has_a_step() -> None:
    groups = {step.group for step in static_steps(check.ROOT)}
    assert groups | {"tests"} == set(GROUPS)


def test_the_navigation_follows_the_files(tmp_path: Path) -> None:
    for name in ("index.md", "tutorial/02-b.md", "tutorial/01-a.md", "tutorial/index.md", "other/x.md", "how/y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert navigation(tmp_path, {"how": "How", "tutorial": "Tutorial"}) == [
        "index.md",
        "other/x.md",
        {"Tutorial": ["tutorial/index.md", "tutorial/01-a.md", "tutorial/02-b.md"]},
    ]
