"""The Lua scripts, one file for each, and how to read them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def source(name: str) -> str:
    """Return the text of the script of this name."""
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
