"""Reads the values of a URL's parameters: one reading, and one way to say what is wrong, for all drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from celeriac.errors import ImproperlyConfigured

T = TypeVar("T")

_SWITCHES: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def parameter(shown: str, name: str, text: str, read: Callable[[str], T]) -> T:
    """Return the value of a parameter.

    Args:
        shown: The URL without its password.
        name: Of the parameter.
        text: What the URL says.
        read: One of the readers here, or another that raises a ValueError which says what would be right.

    Raises:
        ImproperlyConfigured: ``read`` does not like it.
    """
    try:
        return read(text)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{shown!r}: {name}={text} must be {exc}") from None


def switch(text: str) -> bool:
    """Read true or false."""
    try:
        return _SWITCHES[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def seconds(most: float, least: float | None = None) -> Callable[[str], float]:
    """Return a reader of seconds from ``least`` to ``most``; without a least they must be above 0."""
    what = f"seconds above 0, at most {most:g}" if least is None else f"seconds from {least:g} to {most:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(what) from None
        if not (0 < value <= most if least is None else least <= value <= most):
            raise ValueError(what)
        return value

    return read


def whole(least: int, most: int | None = None, of: str = "") -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``, ``of`` something."""
    counted = f"a whole number of {of}" if of else "a whole number"
    wanted = f"{counted}, at least {least}" if most is None else f"{counted} from {least} to {most}"

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or int(text) < least or (most is not None and int(text) > most):
            raise ValueError(wanted)
        return int(text)

    return read
