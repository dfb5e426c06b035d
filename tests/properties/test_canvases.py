"""Random workflows come to the same, by the same runs of the same tasks, eagerly and by the steps of a worker: values,
errors, callbacks, errbacks, retries, replacements, and tasks that send others."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.canvases import Canvases, drawn, same

canvases = Canvases("random-canvases")

shapes: st.SearchStrategy[Any] = st.recursive(
    st.just("step"),
    lambda inner: (
        st.tuples(st.sampled_from(["chain", "chord", "replace", "send"]), st.lists(inner, min_size=1, max_size=3))
        | st.tuples(st.just("group"), st.lists(inner, max_size=3))
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(shapes, st.integers(0, 2**32), st.sampled_from([0.0, 0.3]))
def test_a_random_workflow_comes_to_the_same_eagerly_and_by_a_kit(shape: Any, seed: int, failing: float) -> None:
    canvas = drawn(canvases, shape, random.Random(seed), failing=failing)
    if canvas.bound_app is None:
        return  # Nothing but empty groups.
    eager, runs = canvases.eagerly(canvas)
    found, other = canvases.by_kit(canvas)
    assert same(eager, found), (eager, found)
    assert runs == other
