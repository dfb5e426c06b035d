"""The transition table is complete, sound, and says what Celery's users expect of the state names."""

import re

import pytest

from celeriac.core import state
from celeriac.core.state import ALL_STATES, DEAD, EVENTS, OWNED_STATES, READY_STATES, TRANSITIONS, WAITING_STATES, after


def reachable(start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        here = todo.pop()
        for (origin, _), target in TRANSITIONS.items():
            if origin == here and target not in found:
                found.add(target)
                todo.append(target)
    return found


def test_the_groups_of_states_divide_all_states() -> None:
    assert WAITING_STATES | OWNED_STATES | READY_STATES == ALL_STATES
    assert not WAITING_STATES & OWNED_STATES
    assert not (WAITING_STATES | OWNED_STATES) & READY_STATES
    assert state.UNREADY_STATES == WAITING_STATES | OWNED_STATES


def test_celerys_states_keep_their_names_and_groups() -> None:
    celerys = {"PENDING", "RECEIVED", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"}
    assert celerys | {"SCHEDULED", "DEAD"} == ALL_STATES
    assert {"SUCCESS", "FAILURE", "REVOKED"} <= READY_STATES
    assert {"FAILURE", "REVOKED"} <= state.PROPAGATE_STATES
    assert {"RETRY", "FAILURE", "REVOKED"} <= state.EXCEPTION_STATES


def test_a_constant_has_the_name_of_its_state() -> None:
    for name in ALL_STATES:
        assert getattr(state, name) == name


def test_the_table_speaks_of_known_states_only() -> None:
    assert {origin for origin, _ in TRANSITIONS} - {""} <= ALL_STATES
    assert set(TRANSITIONS.values()) == ALL_STATES


def test_every_state_can_be_reached_from_nothing() -> None:
    assert reachable("") == ALL_STATES


@pytest.mark.parametrize("name", sorted(state.UNREADY_STATES))
def test_a_task_that_is_not_over_can_still_end_in_each_way(name: str) -> None:
    assert reachable(name) >= READY_STATES


@pytest.mark.parametrize("name", sorted(READY_STATES - {DEAD}))
def test_nothing_follows_the_end(name: str) -> None:
    assert reachable(name) == set()


def test_only_a_person_brings_a_dead_letter_back() -> None:
    assert [event for origin, event in TRANSITIONS if origin == DEAD] == ["revived"]


def test_every_owned_task_can_be_lost_and_then_waits_again() -> None:
    for name in OWNED_STATES:
        assert TRANSITIONS[name, "lost"] in WAITING_STATES


def test_only_a_waiting_task_can_be_claimed() -> None:
    assert {origin for origin, event in TRANSITIONS if event == "claimed"} <= WAITING_STATES
    assert {target for (_, event), target in TRANSITIONS.items() if event == "claimed"} <= OWNED_STATES


def test_every_task_that_is_not_over_can_be_revoked() -> None:
    assert {origin for origin, event in TRANSITIONS if event == "revoked"} == state.UNREADY_STATES


def test_what_one_owned_state_may_do_the_other_may_too() -> None:
    received = {event: target for (origin, event), target in TRANSITIONS.items() if origin == state.RECEIVED}
    started = {event: target for (origin, event), target in TRANSITIONS.items() if origin == state.STARTED}
    assert received.pop("started") == state.STARTED
    assert received == started


def test_an_event_leads_to_one_state_wherever_it_happens() -> None:
    for event in EVENTS:
        assert len({target for (_, name), target in TRANSITIONS.items() if name == event}) == 1


def test_events_are_past_participles_listed_once() -> None:
    assert len(EVENTS) == len(set(EVENTS))
    assert all(re.fullmatch(r"[a-z]+", event) for event in EVENTS)


def test_after_walks_the_table() -> None:
    walk = [("enqueued", "PENDING"), ("claimed", "RECEIVED"), ("started", "STARTED"), ("retried", "RETRY")]
    here = ""
    for event, expected in walk:
        here = after(here, event)
        assert here == expected


@pytest.mark.parametrize(("name", "event"), [("SUCCESS", "retried"), ("PENDING", "succeeded"), ("", "claimed")])
def test_after_names_what_it_has_no_row_for(name: str, event: str) -> None:
    with pytest.raises(ValueError, match=f"no transition from {name or 'nothing'} on '{event}'"):
        after(name, event)
