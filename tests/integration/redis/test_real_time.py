"""Cases of the conformance suite about time, by the server's own clock and with the scripts as they are.

All other tests of that suite run on a clock that is moved (:mod:`tests.support.redis_time`). These wait, all at once.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from celeriac.brokers import connect
from celeriac.brokers.port import AnyDriver
from celeriac.testing.conformance import GROUPS, Case, run
from tests.support.servers import RedisServer

CASES: Final = (
    "a_claim_sets_the_lease_of_all_that_its_owner_holds",
    "a_message_that_became_due_is_included_without_promotion",
    "an_expired_command_is_not_read",
    "nothing_is_claimed_before_its_time",
    "promotion_tells_when_to_come_back",
    "now_is_the_time_that_the_store_works_by",
    "an_ended_lease_is_told_once",
    "an_extended_lease_holds",
    "a_record_tells_when_its_state_was_reached",
    "stats_tell_how_long_the_oldest_has_been_ready",
    "expired_commands_and_vanished_workers_and_owners_go",
    "expired_results_go",
    "what_a_lapsed_owner_held_goes_back_as_suspect",
    "a_new_result_has_its_own_expiry",
    "a_result_expires",
    "a_silent_holder_loses_it",
    "a_verdict_is_given_once_while_its_judge_lives",
    "a_silent_worker_vanishes",
)


class RealTime:
    """One prefix of a server; time passes as it does."""

    lease = 1.0

    def __init__(self, url: str) -> None:
        self.url = url

    def connect(self) -> AnyDriver:
        return connect(self.url)

    def now(self) -> float:
        return time.time()

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture(scope="module")
def patient() -> Iterator[RedisServer]:
    with RedisServer(unix=True) as server:
        yield server


@pytest.mark.slow
def test_cases_about_time_hold_by_the_servers_clock(patient: RedisServer) -> None:
    known = {case.name: case for group in GROUPS for case in group.cases}

    def check(numbered: tuple[int, Case]) -> None:
        number, case = numbered
        run(case, RealTime(f"{patient.url}?prefix=t{number}"), "asyncio")

    with ThreadPoolExecutor(len(CASES)) as threads:
        outcomes = [threads.submit(check, (number, known[name])) for number, name in enumerate(CASES)]
    failed = {name: one.exception() for name, one in zip(CASES, outcomes, strict=True) if one.exception()}
    assert failed == {}
