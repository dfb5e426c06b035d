"""Cases and the groups they come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from celeriac.brokers.port import Capabilities
from celeriac.testing.conformance.kit import Kit

Check: TypeAlias = Callable[[Kit], Awaitable[None]]
Needs: TypeAlias = Callable[[Capabilities], bool]


def everyone(capabilities: Capabilities) -> bool:
    """The group applies to every driver."""
    return True


@dataclass(frozen=True)
class Case:
    """One thing that every driver must do; its name is a sentence.

    Attributes:
        group: The name of its group.
        name: The name of the function.
        check: The function.
        installed: Whether the schema is installed before.
        slow: It lets over half a minute pass, which takes that long where the store's clock cannot be moved.
    """

    group: str
    name: str
    check: Check
    installed: bool = True
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.group}-{self.name}"


class Group:
    """Cases about one subject; used as a decorator on each of them.

    Args:
        name: What the group is called in ids of tests.
        needs: Whether it applies to a driver with these capabilities.
        installed: Whether the schema is installed before each case.
    """

    def __init__(self, name: str, *, needs: Needs = everyone, installed: bool = True) -> None:
        self.name = name
        self.needs = needs
        self.cases: list[Case] = []
        self._installed = installed
        self._index: Group | None = None

    def __call__(self, check: Check) -> Check:
        return self._add(check, slow=False)

    def slow(self, check: Check) -> Check:
        """Add a case that lets over half a minute pass."""
        return self._add(check, slow=True)

    def indexed(self, check: Check) -> Check:
        """Add a case for drivers that know what is ready by its id; such cases are a group of their own."""
        if self._index is None:
            needs = self.needs
            self._index = Group(
                f"{self.name}-indexed",
                needs=lambda capabilities: capabilities.indexed and needs(capabilities),
                installed=self._installed,
            )
        return self._index(check)

    @property
    def parts(self) -> tuple[Group, ...]:
        """This group, and that of its cases for drivers with an index."""
        return (self,) if self._index is None else (self, self._index)

    def _add(self, check: Check, *, slow: bool) -> Check:
        name = getattr(check, "__name__", repr(check))
        self.cases.append(Case(self.name, name, check, self._installed, slow))
        return check
