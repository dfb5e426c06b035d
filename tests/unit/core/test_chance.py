"""Chance is the library's own, and another in each process."""

from __future__ import annotations

import multiprocessing
import random
from typing import Any

import pytest

from celeriac.core.chance import SYSTEM_RNG
from celeriac.events import Bus
from celeriac.events.backoff import Backoff


def test_the_program_s_own_generator_is_left_alone() -> None:
    random.seed(1)
    before = random.getstate()
    backoff = Backoff(Bus(), "service")
    assert len({backoff.failed(OSError()) for _ in range(5)}) == 5
    assert random.getstate() == before


def _tell(line: Any) -> None:
    line.send(SYSTEM_RNG.random())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_were_forked_do_not_draw_the_same() -> None:
    context = multiprocessing.get_context("fork")
    drawn: list[float] = []
    for _ in range(3):
        hears, tells = context.Pipe(duplex=False)
        process = context.Process(target=_tell, args=(tells,))
        process.start()
        drawn.append(hears.recv())
        process.join()
    assert len(set(drawn)) == 3
