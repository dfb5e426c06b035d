"""The Lua scripts, one file for each, and how to read them.

A line ``-- include: name`` stands for the file ``parts/name.lua``: what several scripts share.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

_INCLUDE: Final = re.compile(r"^-- include: (\w+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """Return the text of the script of this name, complete."""
    return _INCLUDE.sub(lambda found: _text(f"parts/{found[1]}"), _text(name))


def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
