"""Where the file lies: its permissions, its file system and the room that is left, for whoever examines the broker."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from celeriac.brokers.sqlite.operations.examine import Place

MOUNTS: Final = Path("/proc/self/mountinfo")


def look(path: str) -> Place:
    """Return what there is to say about the file.

    Raises:
        OSError: It cannot be looked at.
    """
    found = os.stat(path)
    directory = os.path.dirname(os.path.realpath(path))
    room = os.statvfs(directory)
    try:
        log_size = os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        log_size = 0
    return Place(
        mode=stat.S_IMODE(found.st_mode),
        directory_mode=stat.S_IMODE(os.stat(directory).st_mode),
        file_system=_file_system(found.st_dev),
        size=found.st_size,
        log_size=log_size,
        free=room.f_bavail * room.f_frsize,
    )


def told(path: str) -> str:
    """Return what :func:`look` finds as JSON: the SQL function ``place()`` of a connection."""
    return msgspec.json.encode(look(path)).decode()


def _file_system(device: int) -> str:
    """Return the type of the file system with this device number, by the kernel's list of mounts."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""  # Only Linux has the list.
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split(" ")[2:3] == [number]:
            return after.split(" ")[0]
    return ""
