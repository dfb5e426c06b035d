"""The structure of the store: its version, and the steps from one version to the next. Pure.

The folder ``migrations/0001`` makes version 1 of an empty schema, ``0002`` version 2 of version 1, and so on; its files
are carried out in the order of their names. A function of a released version is changed by a later folder, which
replaces it. In all SQL of this driver ``celeriac.`` stands for the schema that the URL names.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

DEFAULT_SCHEMA: Final = "celeriac"
SCHEMA_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}\Z")
"""Names that need no quoting anywhere and leave room for what is made of them."""

_SCHEMA: Final = re.compile(r"\bceleriac\.")
_CHANNEL: Final = re.compile(r"\bceleriac:")


def _texts(folder: Traversable) -> str:
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return "\n".join(entry.read_text("utf-8").rstrip().removesuffix(";") + ";" for entry in found)


def _read_migrations() -> tuple[str, ...]:
    root = files(__package__ or "").joinpath("migrations")
    folders = sorted((entry for entry in root.iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    return tuple(text for folder in folders if (text := _texts(folder)))


MIGRATIONS: Final = _read_migrations()
"""Each brings the schema from the version that is its place in this tuple to the next."""
VERSION: Final = len(MIGRATIONS)
"""The version that this code reads and writes."""
OBJECTS: Final = frozenset(
    (kind.lower(), name)
    for text in MIGRATIONS
    for kind, name in re.findall(
        r"^CREATE (?:OR REPLACE )?(?:UNIQUE )?(TABLE|INDEX|SEQUENCE|FUNCTION) (?:celeriac\.)?(\w+)", text, re.MULTILINE
    )
)
"""(kind, name) of all that a complete schema contains, and that PostgreSQL does not add by itself."""


def within(schema: str, sql: str) -> str:
    """Return the SQL for a schema of this name."""
    return _CHANNEL.sub(f"{schema}:", _SCHEMA.sub(f'"{schema}".', sql))


def channel(schema: str, kind: str) -> str:
    """Return the channel on which waiters are woken; ``kind`` is ``work`` or ``result``."""
    return f"{schema}:{kind}"
