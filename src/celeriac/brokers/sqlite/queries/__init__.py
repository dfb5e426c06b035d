"""The SQL of each operation, in a file named after it. Read once, when the driver is imported."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

_FOLDER: Final = files(__name__)


def query(name: str) -> str:
    """Return the text of ``name.sql``."""
    return _FOLDER.joinpath(f"{name}.sql").read_text("utf-8")
