"""The structure of the file: its mark, its version, and the steps from one version to the next. Pure.

``migrations/0001.sql`` makes version 1 of an empty file, ``0002.sql`` version 2 of version 1, and so on. A step that
has been released is never changed.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

APPLICATION_ID: Final = 0x43656C72
"""Marks a SQLite file as Celeriac's ("Celr")."""


def _read_migrations() -> tuple[str, ...]:
    folder = files(__package__ or "").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text("utf-8") for name in names)


MIGRATIONS: Final = _read_migrations()
"""Each brings the schema from the version that is its place in this tuple to the next."""
VERSION: Final = len(MIGRATIONS)
"""The version that this code reads and writes."""
OBJECTS: Final = frozenset(
    (kind.lower(), name)
    for text in MIGRATIONS
    for kind, name in re.findall(r"^CREATE (?:UNIQUE )?(TABLE|INDEX|TRIGGER) (\w+)", text, re.MULTILINE)
)
"""(type, name) of all that a complete file contains."""
