"""How big this process is, and whether the kernel killed for want of memory."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") // 1024
_STATM: Final = Path("/proc/self/statm")
_EVENTS: Final = Path("/sys/fs/cgroup/memory.events")


def resident_kib() -> int:
    """Return this process's resident size in KiB; where the system does not tell, the largest it ever was."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most


def oom_kills() -> int:
    """Return how many processes of this control group died for want of memory; 0 if the kernel does not say."""
    try:
        lines = _EVENTS.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
