"""Several processes of a system whose worker is one process: ``python -m benchmarks.baselines.together COUNT APP``.

Each runs the function ``work`` of the app module. The first signal to this process goes on to all of them.
"""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

GRACE: Final = 3.0
"""Seconds that a process has to end after SIGTERM."""


def _work(module: str) -> None:
    importlib.import_module(module).work()


def main(argv: Sequence[str]) -> int:
    """Start them and wait until all have ended."""
    count, module = int(argv[0]), argv[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, args=(module,)) for _ in range(count)]
    for process in processes:
        process.start()

    stopped: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while any(process.is_alive() for process in processes) and not stopped:
        processes[0].join(0.2)
    for process in processes:
        process.join(GRACE if stopped else None)
        process.kill()  # Some wait for ever for what they believe to run.
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
