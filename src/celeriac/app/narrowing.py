"""Tests of values from outside that tell type checkers what was found out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether it is a mapping of something to something."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Return whether it is a list or a tuple of something."""
    return isinstance(value, (list, tuple))
