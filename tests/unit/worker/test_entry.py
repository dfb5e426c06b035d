"""What the supervisor holds in memory: nothing that only those who run tasks need."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

LEFT_OUT: Final = ("celeriac.worker.child", "celeriac.worker.engine", "celeriac.worker.solo", "http.server", "uvloop")


def test_the_command_does_not_import_what_runs_tasks() -> None:
    code = f"import sys, celeriac.cli.worker; print([one for one in {LEFT_OUT!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
