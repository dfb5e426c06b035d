"""Random workflows, run by the rules of joins with duplicates, crashes and in any order, come to what a plain
interpreter of the same form comes to, and make every step ready exactly once."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.core.workflow import ROOT, Chain, Form, Group, Step, Tally, arrive, lay_out, taken

shapes: st.SearchStrategy[Any] = st.recursive(
    st.just("step"),
    lambda inner: (
        st.tuples(st.just("chain"), st.lists(inner, min_size=1, max_size=4))
        | st.tuples(st.just("group"), st.lists(inner, max_size=4))
    ),
    max_leaves=25,
)


class Failed(Exception):
    """A step failed, with the numbers of steps that did."""


def numbered(shape: Any, counter: list[int]) -> Form:
    if shape == "step":
        counter[0] += 1
        return Step(counter[0] - 1)
    kind, parts = shape
    forms = [numbered(one, counter) for one in parts]
    return Chain(forms) if kind == "chain" else Group(forms)


def work(number: int, given: tuple[Any, ...]) -> Any:
    """What a step returns: all that it was given."""
    return (number, *given)


def interpret(form: Form, given: tuple[Any, ...], bad: frozenset[int], ran: set[int]) -> Any:
    """Return what a form comes to, one step after the other; None stands for a value that there is not."""
    if isinstance(form, Step):
        if given and given[0] is Failed:
            return Failed
        ran.add(form.number)
        return Failed if form.number in bad else work(form.number, given)
    if isinstance(form, Group):
        return [interpret(part, given, bad, ran) for part in form.parts]
    value: Any = None
    for place, part in enumerate(form.parts):
        value = interpret(part, given, bad, ran)
        lost = has_failed(value) or (given == (Failed,) and is_empty(value))
        if place + 1 < len(form.parts):
            given = (Failed,) if lost else (value,)
    return value


def has_failed(value: Any) -> bool:
    return value is Failed or (isinstance(value, list) and any(map(has_failed, value)))


def is_empty(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_empty, value))


class Stores:
    """Joins as stores keep them, and workers that may do everything twice."""

    def __init__(self, form: Form, count: int, bad: frozenset[int], rng: random.Random) -> None:
        self.layout = lay_out(form, count)
        self.bad = bad
        self.rng = rng
        self.tallies = {join: Tally(size) for join, size in enumerate(self.layout.sizes)}
        self.slots: dict[int, dict[int, Any]] = {join: {} for join in self.tallies}
        self.readied: list[int] = []
        self.ran: set[int] = set()
        self.ready = [number for number, place in enumerate(self.layout.places) if place.awaits is None]
        self.readied += self.ready

    def run(self) -> None:
        delivered: list[int] = []
        while self.ready:
            number = self.ready.pop(self.rng.randrange(len(self.ready)))
            outcome = self.outcome(number)
            if self.rng.random() < 0.3:  # The process dies before it settles.
                self.ready.append(number)
                continue
            self.arrive(number, outcome)
            delivered.append(number)
            if self.rng.random() < 0.4:  # Something that settled long ago is delivered once more.
                again = self.rng.choice(delivered)
                self.arrive(again, self.outcome(again))

    def outcome(self, number: int) -> Any:
        place = self.layout.places[number]
        given: tuple[Any, ...] = ()
        if place.awaits is not None and self.tallies[place.awaits].failed is not None:
            return Failed
        if place.takes is not None:
            given = (taken(place.takes, {} if place.awaits is None else self.slots[place.awaits]),)
        self.ran.add(number)
        return Failed if number in self.bad else work(number, given)

    def arrive(self, number: int, outcome: Any) -> None:
        place = self.layout.places[number]
        slots = self.slots[place.join]
        if place.slot in slots:
            return
        slots[place.slot] = outcome
        is_root = place.join == ROOT
        tally = self.tallies[place.join]
        self.tallies[place.join], closes = arrive(tally, place.slot, failed=outcome is Failed, root=is_root)
        if closes and not is_root:
            now = [one for one, other in enumerate(self.layout.places) if other.awaits == place.join]
            self.readied += now
            self.ready += now


def nested(form: Form, values: dict[int, Any], layout_places: list[Any]) -> Any:
    """Return the value of a form, of what arrived in the root."""
    if isinstance(form, Step):
        return values[layout_places[form.number].slot]
    if isinstance(form, Group):
        return [nested(part, values, layout_places) for part in form.parts]
    return nested(form.parts[-1], values, layout_places)


@settings(max_examples=300)
@given(shapes, st.integers(0, 2**32), st.floats(0, 0.3))
def test_any_workflow_comes_to_what_a_plain_interpreter_comes_to(shape: Any, seed: int, failing: float) -> None:
    counter = [0]
    form = numbered(shape, counter)
    rng = random.Random(seed)
    bad = frozenset(number for number in range(counter[0]) if rng.random() < failing)
    stores = Stores(form, counter[0], bad, rng)
    stores.run()
    ran: set[int] = set()
    expected = interpret(form, (), bad, ran)
    assert nested(form, stores.slots[ROOT], stores.layout.places) == expected
    assert sorted(stores.readied) == list(range(counter[0]))
    assert stores.ran == ran
    assert stores.tallies[ROOT].remaining == 0
    assert stores.tallies[ROOT].failed is not None or not has_failed(expected)
    slots = sum(stores.layout.sizes)
    assert slots == counter[0]
