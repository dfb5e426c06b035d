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


def _work(module: str) -> None:
    importlib.import_module(module).work()


def main(argv: Sequence[str]) -> int:
    """Start them and wait until all have ended."""
    count, module = int(argv[0]), argv[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, args=(module,)) for _ in range(count)]
    for process in processes:
        process.start()

    def stop(number: int, _: FrameType | None) -> None:
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for process in processes:
        process.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
