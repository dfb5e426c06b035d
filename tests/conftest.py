"""What every test gets: its event loops, its turn, and reproducible random examples.

- Loops: an async test runs on asyncio's own loop; under tests/conformance on uvloop as well. A folder may say otherwise
  with its own ``pytest_asyncio_loop_factories``, a test with ``@pytest.mark.asyncio(loop_factories=["uvloop"])``.
- Turn: a test marked ``serial`` starts after all others are handed out and runs while no other test of the same run
  does, although the run is spread over processes. So one run has one closing line.
- Hypothesis prints how to reproduce a failure, and draws fresh examples in each run.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hypothesis
import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PLAIN_LOOP: Final = {"asyncio": asyncio.new_event_loop}
BOTH_LOOPS: Final = {**PLAIN_LOOP, "uvloop": uvloop.new_event_loop}
CONFORMANCE: Final = Path(__file__).parent / "conformance"
TURN: Final = pytest.StashKey[TextIOWrapper]()

# A run on a loaded machine must not fail because an example was slow; pytest's own timeout catches what hangs.
hypothesis.settings.register_profile("celeriac", deadline=None, print_blob=True)
hypothesis.settings.load_profile("celeriac")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Say on which event loops a test runs; the names are part of its id."""
    asked = [name for mark in item.iter_markers("asyncio") for name in mark.kwargs.get("loop_factories", ())]
    return BOTH_LOOPS if asked or CONFORMANCE in item.path.parents else PLAIN_LOOP


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests marked serial last."""
    items.sort(key=_is_serial)


def pytest_configure(config: pytest.Config) -> None:
    """Open the file by which the processes of a run take turns; all of them do so before the first test."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run_id is not None:
        path = Path(tempfile.gettempdir()) / f"celeriac-tests-{run_id}.lock"
        config.stash[TURN] = path.open("w")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that file. Processes that still run have it open."""
    if turn := config.stash.get(TURN, None):
        turn.close()
        Path(turn.name).unlink(missing_ok=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a serial test have the machine for itself. The wait counts for no test's timeout."""
    turn = item.config.stash.get(TURN, None)
    if turn is None:
        return (yield)
    fcntl.flock(turn, fcntl.LOCK_EX if _is_serial(item) else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        fcntl.flock(turn, fcntl.LOCK_UN)


def _is_serial(item: pytest.Item) -> bool:
    return item.get_closest_marker("serial") is not None
