"""Where a child process begins.

Apart from what it then does, so that the supervisor, which only names it, need not hold in memory what runs tasks.
"""

from __future__ import annotations

import importlib
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

CHILD_MODULE: Final = "celeriac.worker.child"
SIGNALS_LEFT_TO_SUPERVISOR: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)


def enter(options: bytes, owner: str, table_path: str, link: Connection, copied: Sequence[Connection]) -> None:
    """Become a child process; see :func:`celeriac.worker.child.child_main`."""
    importlib.import_module(CHILD_MODULE).child_main(options, owner, table_path, link, copied)
