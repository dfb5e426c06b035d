"""From forms to joins, and the rule of joins."""

from __future__ import annotations

import pytest

from celeriac.core.message import Place
from celeriac.core.workflow import (
    ALL,
    Chain,
    Form,
    Graph,
    Group,
    Node,
    Step,
    Tally,
    arrive,
    drawn,
    lay_out,
    pack_graph,
    taken,
    unpack_graph,
)
from celeriac.errors import DecodeError


def chain(*parts: Form) -> Chain:
    return Chain(parts)


def group(*parts: Form) -> Group:
    return Group(parts)


def step(number: int) -> Step:
    return Step(number)


def test_one_step_arrives_in_the_root_and_waits_for_nothing() -> None:
    layout = lay_out(step(0), 1)
    assert layout.places == [Place(0, 0)]
    assert layout.sizes == [1]
    assert not layout.has_order


def test_a_group_has_no_order() -> None:
    layout = lay_out(group(step(0), group(step(1))), 2)
    assert layout.places == [Place(0, 0), Place(0, 1)]
    assert not layout.has_order


def test_each_step_of_a_chain_waits_for_the_one_before_and_takes_its_value() -> None:
    layout = lay_out(chain(step(0), step(1), step(2)), 3)
    assert layout.places == [Place(1, 0), Place(2, 0, 1, 0), Place(0, 0, 2, 0)]
    assert layout.sizes == [1, 1, 1]
    assert layout.before == [None, 0, 1]


def test_what_follows_a_group_takes_the_list() -> None:
    layout = lay_out(chain(group(step(0), step(1)), step(2)), 3)
    assert layout.places == [Place(1, 0), Place(1, 1), Place(0, 0, 1, ALL, gathers=True)]
    assert layout.sizes == [1, 2]
    assert layout.before == [None, None, None]


def test_groups_in_a_group_share_its_join_and_are_nested_again() -> None:
    layout = lay_out(chain(group(step(0), group(step(1), step(2)), group()), step(3)), 4)
    assert [place.join for place in layout.places] == [1, 1, 1, 0]
    assert layout.places[3].takes == [0, [1, 2], []]


def test_all_tasks_of_a_group_take_what_came_before_it() -> None:
    layout = lay_out(chain(step(0), group(step(1), step(2)), group(step(3), step(4))), 5)
    assert [(place.awaits, place.takes) for place in layout.places[1:]] == [(1, 0), (1, 0), (2, ALL), (2, ALL)]
    assert layout.sizes == [2, 1, 2]


def test_an_empty_group_gives_an_empty_list_and_is_not_waited_for() -> None:
    layout = lay_out(chain(step(0), group(), step(1)), 2)
    assert layout.places[1] == Place(0, 0, 1, [], gathers=True) or layout.places[1].takes == []
    assert lay_out(chain(group(), step(0)), 1).places == [Place(0, 0, None, [])]


def test_a_chain_that_ends_in_an_empty_group_waits_for_its_steps_all_the_same() -> None:
    layout = lay_out(chain(step(0), chain(step(1), group())), 2)
    assert layout.places == [Place(1, 0), Place(0, 0, 1, 0)]
    assert layout.sizes == [1, 1, 0]


@pytest.mark.parametrize("count", [1, 1000, 100_000])
def test_joins_and_slots_are_linear_in_the_steps(count: int) -> None:
    wide = lay_out(chain(group(*map(step, range(count))), step(count)), count + 1)
    assert (len(wide.sizes), sum(wide.sizes)) == (2, count + 1)
    assert wide.places[count].takes == ALL
    long = lay_out(chain(*map(step, range(count))), count)
    assert (len(long.sizes), sum(long.sizes)) == (count, count)


def test_a_nest_of_chords_has_one_join_for_each_of_them() -> None:
    numbers = iter(range(100))

    def nest(depth: int) -> Form:
        parts = [nest(depth - 1)] if depth > 1 else []
        return chain(group(*parts, *[step(next(numbers)) for _ in range(10)]), step(next(numbers)))

    layout = lay_out(nest(6), 66)
    assert (len(layout.sizes), sum(layout.sizes)) == (7, 66)


def test_what_is_taken() -> None:
    values = {0: "a", 1: "b", 2: "c"}
    assert taken(1, values) == "b"
    assert taken(ALL, values) == ["a", "b", "c"]
    assert taken([2, [0, []]], values) == ["c", ["a", []]]


def test_the_last_arrival_closes_a_join_and_nothing_does_so_again() -> None:
    tally, closes = arrive(Tally(2), 0, failed=False, root=False)
    assert (tally, closes) == (Tally(1), False)
    tally, closes = arrive(tally, 1, failed=False, root=False)
    assert (tally, closes) == (Tally(0, None, True), True)
    assert arrive(tally, 2, failed=True, root=False) == (Tally(-1, 2, True), False)


def test_the_first_failure_closes_a_join_but_not_the_root() -> None:
    tally, closes = arrive(Tally(3), 1, failed=True, root=False)
    assert (tally, closes) == (Tally(2, 1, True), True)
    assert arrive(tally, 0, failed=True, root=False) == (Tally(1, 1, True), False)
    root, closes = arrive(Tally(2), 1, failed=True, root=True)
    assert (root, closes) == (Tally(1, 1, False), False)
    assert arrive(root, 0, failed=False, root=True) == (Tally(0, 1, True), True)


def test_a_graph_comes_back_through_bytes() -> None:
    form = chain(group(step(0), step(1)), step(2))
    graph = Graph([Node("a", "t", 1, 0), Node("b", "t", 1, 1), Node("c", "u", 0, 0, 1)], drawn(form))
    assert graph.form == ["chain", ["group", 0, 1], 2]
    assert unpack_graph(pack_graph(graph)) == graph
    with pytest.raises(DecodeError, match="graph of a workflow"):
        unpack_graph(b"\x01")
