"""See tasks that are sent before a slow commit, without an outbox and with one: ``python -m examples.outbox.demo``.

The exit code is 0 only if with the outbox every task found its row, and what was rolled back was never sent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

    from celeriac import AsyncResult

PROJECT: Final = Path(__file__).parents[2]
TENANTS: Final = 10


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker; its log is in the folder."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celeriac", "-A", "examples.outbox.app", "worker", "-c", "1"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def wait_until_over(results: list[AsyncResult[Any]], seconds: float = 40.0) -> None:
    """Wait until each task has ended, well or not.

    Raises:
        TimeoutError: One has not, in time.
    """
    end = time.monotonic() + seconds
    while not all(result.ready() for result in results):
        if time.monotonic() > end:
            raise TimeoutError(f"not over after {seconds:.0f} s: {[one.id for one in results if not one.ready()]}")
        time.sleep(0.05)


def synchronise(sessions: sessionmaker[Session], first: int, *, wait_for_tasks: bool) -> list[AsyncResult[Any]]:
    """Write down and send all tenants in one transaction, whose commit takes longer than the broker does."""
    from examples.outbox.app import TenantSync, sync_tenant

    sent: list[AsyncResult[Any]] = []
    with sessions.begin() as session:
        for number in range(first, first + TENANTS):
            session.add(TenantSync(id=number, tenant=f"tenant {number}"))
            session.flush()
            sent.append(sync_tenant.delay(number))
        if wait_for_tasks:
            wait_until_over(sent)
        else:
            time.sleep(1)
    return sent


def run(folder: Path) -> int:
    """Play the story in this folder; return the exit code."""
    os.environ["OUTBOX_DIR"] = str(folder)
    # Only now: the app reads the variable when it is imported.
    from examples.outbox.app import Base, Directory, Unbound, app, engine, outbox, sync_tenant

    Base.metadata.create_all(engine)
    outbox.create()
    worker = start_worker(folder)
    try:
        early = synchronise(Unbound, 100, wait_for_tasks=True)
        print(f"Without the outbox, tasks that found no row: {sum(one.failed() for one in early)} of {TENANTS}")
        sent = synchronise(Directory, 200, wait_for_tasks=False)
        with Directory.begin() as session:
            undone = sync_tenant.delay(200)
            session.rollback()
        wait_until_over(sent)
        found = sum(one.successful() for one in sent)
        print(f"With the outbox, tasks that found their row: {found} of {TENANTS}")
        print(f"Sent in a transaction that was rolled back: {undone.state}")
        return 0 if found == TENANTS and undone.state == "PENDING" and outbox.lag()[0] == 0 else 1
    finally:
        worker.terminate()
        worker.wait(30)
        app.close()
        engine.dispose()


def main() -> int:
    """Run the demo as a command."""
    with tempfile.TemporaryDirectory(prefix="outbox-") as folder:
        return run(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
