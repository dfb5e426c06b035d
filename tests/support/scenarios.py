"""Which scenario of the reliability suite applies to which driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.backing import BACKINGS, Traits
from tests.support.tally import sized


def on(needs: Callable[[Traits], bool] = lambda traits: True) -> Callable[[Any], Any]:
    """Return a decorator: a scenario, run on each driver whose store is as needed, which writes a row."""
    names = [name for name, backing in BACKINGS.items() if needs(backing.traits)]
    parametrize = pytest.mark.parametrize("driver", names, indirect=True)

    def decorate(test: Any) -> Any:
        for mark in (parametrize, pytest.mark.row, pytest.mark.slow, pytest.mark.timeout(sized(150, 600))):
            test = mark(test)
        return test

    return decorate


def served(traits: Traits) -> bool:
    """A process serves the store."""
    return traits.server


def networked(traits: Traits) -> bool:
    """Workers reach the store by TCP."""
    return traits.network


def own_clock(traits: Traits) -> bool:
    """The store's time is its server's."""
    return traits.own_clock
