"""See an order fail half-way, and go on where it failed: ``python -m examples.orders.demo``.

The exit code is 0 only if the order failed once, the customer was told once, and nothing that had been done was done
again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[2]


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker with two processes; its log is in the folder."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celeriac", "-A", "examples.orders.app", "worker", "-c", "2"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def ended(app: Any, workflow: str, seconds: float = 60.0) -> Any:
    """Wait for the end of a workflow and return it with its steps.

    Raises:
        TimeoutError: It has not ended in time.
    """
    end = time.monotonic() + seconds
    while True:
        view = app.control.workflows.show(workflow)
        if view.ended is not None:
            return view
        if time.monotonic() > end:
            raise TimeoutError(f"workflow {workflow} is {view.state} after {seconds:.0f} s")
        time.sleep(0.05)


def show(view: Any) -> None:
    """Print the steps of a workflow."""
    for step in view.steps:
        print(f"  {step.task.rpartition('.')[2]}: {step.state}")


def run(folder: Path) -> int:
    """Play the story in this folder; return the exit code."""
    os.environ["ORDERS_DIR"] = str(folder)
    # Only now: the app reads the variable when it is imported.
    from celeriac import AsyncResult
    from examples.orders.app import app, order

    worker = start_worker(folder)
    try:
        result = order("lamp", "Ada").apply_async()
        (workflow,) = app.control.workflows.list()
        first = ended(app, workflow.id)
        print(f"The order: {first.state}, {result.result!r}")
        show(first)
        (folder / "warehouse").touch()
        print(f"The warehouse is open: {app.control.workflows.resume(workflow.id)} step is tried again")
        second = ended(app, workflow.id)
        value = AsyncResult(result.id, app=app).get(timeout=30)
        print(f"The order: {second.state}, {value}")
        show(second)
        notes = (folder / "notes").read_text().splitlines()
        print("\n".join(notes))
        fine = (first.state, second.state, value) == ("FAILURE", "SUCCESS", "Ada owes 100 to Cleo")
        return 0 if fine and len(notes) == 3 else 1
    finally:
        worker.terminate()
        worker.wait(30)
        app.close()


def main() -> int:
    """Run the demo as a command."""
    with tempfile.TemporaryDirectory(prefix="orders-") as folder:
        return run(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
