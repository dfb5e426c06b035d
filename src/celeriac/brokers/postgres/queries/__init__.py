"""The SQL that is sent as it stands, in a file named after its operation. Read once, when the driver is imported.

What must be decided in several steps is a function of the schema (``migrations``), and is called.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

_FOLDER: Final = files(__name__)


def query(name: str) -> str:
    """Return the text of ``name.sql``."""
    return _FOLDER.joinpath(f"{name}.sql").read_text("utf-8")
