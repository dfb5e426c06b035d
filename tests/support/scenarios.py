"""Which scenario of the reliability suite applies to which driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.backing import Traits
from tests.support.backings import BACKINGS
from tests.support.tally import every_driver, sized


def on(needs: Callable[[Traits], bool] = lambda traits: True) -> Callable[[Any], Any]:
    """Return a decorator: a scenario, run on each driver whose store is as needed, which writes a row.

    At the small size those drivers are left out that have it for the page alone (:attr:`Backing.small`).
    """

    def decorate(test: Any) -> Any:
        names = [
            name
            for name, backing in BACKINGS.items()
            if needs(backing.traits) and (every_driver() or backing.small is None or test.__name__ in backing.small)
        ]
        if not names:
            return None  # It is for the page alone: at this size there is no such test.
        parametrize = pytest.mark.parametrize("driver", names, indirect=True)
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


def whole(traits: Traits) -> bool:
    """The store keeps all that is known of a task, and nothing of it is elsewhere."""
    return traits.whole


def served_whole(traits: Traits) -> bool:
    """A process serves such a store."""
    return traits.server and traits.whole


def networked_whole(traits: Traits) -> bool:
    """Workers reach such a store by TCP: their leases, too."""
    return traits.network and traits.whole


def networked_in_parts(traits: Traits) -> bool:
    """Workers reach it by TCP, and the store that has their leases in another way."""
    return traits.network and not traits.whole


def syncs_late(traits: Traits) -> bool:
    """It can be told to force its writes to disk a moment later."""
    return "last second" in traits.keeps and traits.server


def hands_over(traits: Traits) -> bool:
    """Then the system has them already: SIGKILL of the server takes none of them."""
    return syncs_late(traits) and not traits.writes_behind


def freezes(traits: Traits) -> bool:
    """It can be told to take no writes."""
    return traits.freezes
