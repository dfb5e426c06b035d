"""Run everything CI runs, and say at the end what failed.

All steps run, whatever failed before. The static ones run side by side, one per core, and print what they found only
when they fail; pytest runs last and prints as it goes, so that its closing line stands near the end of the output.
The exit code is 0 only if every step passed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
GROUPS: Final = ("lint", "types", "docs", "tests")
TYPED: Final = ("src", "scripts", "tests", "examples", "benchmarks")


@dataclass(frozen=True)
class Step:
    """One check: a command that exits with 0 if all is well."""

    name: str
    group: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What came of a step; ``output`` is empty for a step that printed for itself."""

    step: Step
    exit_code: int
    seconds: float
    output: str = ""


def cores() -> int:
    """Return how many processes may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def static_steps(root: Path) -> list[Step]:
    """Return the steps that only read the tree, the slowest first."""
    python = (sys.executable, "-m")
    typed = tuple(name for name in TYPED if any((root / name).rglob("*.py")))
    import_linter = str(Path(sys.executable).parent / "lint-imports")
    return [
        Step("mypy", "types", (*python, "mypy", "--no-error-summary", *typed)),
        Step("pyright", "types", (*python, "pyright")),
        Step("docs", "docs", (*python, "mkdocs", "build", "--strict", "--quiet")),
        Step("imports", "lint", (import_linter, "--no-logo")),
        Step("app imports", "lint", (import_linter, "--no-logo", "--config", "scripts/importlinter-app.ini")),
        Step("codespell", "lint", (*python, "codespell_lib")),
        Step("sizes", "lint", (sys.executable, "scripts/check_sizes.py")),
        Step("ruff format", "lint", (*python, "ruff", "format", "--check")),
        Step("ruff check", "lint", (*python, "ruff", "check", "--output-format", "concise")),
    ]


def test_step(fast: bool, extra: Sequence[str]) -> Step:
    """Return the step that runs pytest, on every core and at least two, since tests mostly wait for processes."""
    command = [sys.executable, "-m", "pytest", "-n", str(max(2, min(cores(), 8))), "--dist", "worksteal"]
    if fast:
        command += ["-m", "not slow and not serial", "--ignore", "tests/faults"]
    else:
        command += ["--durations", "5", "--durations-min", "3"]
    return Step("pytest", "tests", (*command, *extra))


def environment() -> dict[str, str]:
    """Return the environment of every step: the tools must not look for news on the network."""
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    return {**os.environ, **quiet}


def run(step: Step) -> Result:
    """Run one step from the root of the checkout and keep what it prints."""
    started = time.monotonic()
    done = subprocess.run(
        step.command,
        cwd=ROOT,
        env=environment(),
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return Result(step, done.returncode, time.monotonic() - started, done.stdout)


def run_in_sight(step: Step) -> Result:
    """Run one step that prints for itself.

    Interrupted or told to end, it waits until the step has ended: pytest stops the servers and workers it started.
    """
    started = time.monotonic()
    with subprocess.Popen(step.command, cwd=ROOT, env=environment()) as process:

        def pass_on(*_: object) -> None:
            process.send_signal(signal.SIGINT)

        # Ctrl-C in a terminal reaches the step as well; a signal to this process alone is passed on as an interrupt.
        handlers = {
            signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
            signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        }
        exit_code = process.wait()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Result(step, exit_code, time.monotonic() - started)


def report(result: Result) -> None:
    """Print one line about a step, and what it said if it failed."""
    state = "FAILED" if result.exit_code else "ok"
    print(f"{result.step.name:<12} {state:<7} {result.seconds:6.1f} s", flush=True)
    if result.exit_code and result.output:
        print(result.output.rstrip() + "\n", flush=True)


def run_static(steps: Sequence[Step]) -> list[Result]:
    """Run the steps side by side and report each when it ends."""
    results: list[Result] = []
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        for done in as_completed([pool.submit(run, step) for step in steps]):
            results.append(done.result())
            report(results[-1])
    return results


def summary(results: Sequence[Result], seconds: float) -> str:
    """Return the last line: that all is well, or what is not."""
    failed = [result.step.name for result in results if result.exit_code]
    if failed:
        return f"{len(failed)} of {len(results)} checks failed in {seconds:.1f} s: {', '.join(failed)}"
    return f"All {len(results)} checks passed in {seconds:.1f} s"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run everything CI runs, or one group of it.")
    parser.add_argument("--only", choices=GROUPS, action="append", help="run this group; may be given several times")
    parser.add_argument("--fast", action="store_true", help="run only the quick tests and nothing else")
    parser.add_argument("pytest_args", nargs="*", help="what pytest gets in addition (after --)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the chosen steps; return 0 if all passed, 1 if not, 130 after Ctrl-C."""
    options = parse(argv)
    groups = ["tests"] if options.fast else options.only or list(GROUPS)
    started = time.monotonic()
    try:
        results = run_static([step for step in static_steps(ROOT) if step.group in groups])
        if "tests" in groups:
            results.append(run_in_sight(test_step(options.fast, options.pytest_args)))
            report(results[-1])
    except KeyboardInterrupt:
        return 130
    print(summary(results, time.monotonic() - started), flush=True)
    return 1 if any(result.exit_code for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
