"""The suite itself: which scenarios are not about which driver, and that its counting can find something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.message import StoredResult
from scripts.reliability import ROWS_VARIABLE
from tests.support.backings import BACKINGS
from tests.support.fleet import Project
from tests.support.scenarios import (
    freezes,
    hands_over,
    networked,
    networked_in_parts,
    networked_whole,
    own_clock,
    served,
    served_whole,
    syncs_late,
    whole,
)
from tests.support.tally import Incident, conclude, count

NEEDS = (
    freezes,
    hands_over,
    networked,
    networked_in_parts,
    networked_whole,
    own_clock,
    served,
    served_whole,
    syncs_late,
    whole,
)
LEFT_OUT = {
    "sqlite": {need.__name__ for need in NEEDS if need is not whole},
    "redis": {"networked_in_parts"},
    "postgresql": {"networked_in_parts", "hands_over"},
    "rabbitmq": {"whole", "served_whole", "networked_whole", "own_clock", "syncs_late", "hands_over", "freezes"},
}
"""What a driver's store is not, so that the scenarios which need it are not about that driver."""


def test_what_is_left_out_is_known() -> None:
    left_out = {
        name: {need.__name__ for need in NEEDS if not need(backing.traits)} for name, backing in BACKINGS.items()
    }
    assert left_out == LEFT_OUT


def test_what_is_run_at_the_small_size_exists() -> None:
    scenarios = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = {name for backing in BACKINGS.values() for name in backing.small or ()}
    assert {name for name in named if f"def {name}(" not in scenarios} == set()


Judge = Callable[..., None]


@pytest.fixture
def judge(project: Project, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Return what counts a made-up run: its diary, and the token that each id's result is of."""
    monkeypatch.delenv(ROWS_VARIABLE, raising=False)

    def run(diary: list[str], results: dict[str, int], *incidents: Incident, **options: Any) -> None:
        project.diary_path.write_text("".join(f"{line} 1 {at}.0\n" for at, line in enumerate(diary)))
        kept = [StoredResult(id=one, state="SUCCESS", body=str(token).encode()) for one, token in results.items()]
        project.app.backend.store(kept)
        promise = options.pop("promise", None)
        conclude(project, "stops", "none", count(project, ["a", "b"], incidents, **options), promise=promise)

    return run


def test_counting_finds_nothing_in_a_good_run(judge: Judge) -> None:
    judge(["start a 1", "end a 1", "start b 1", "end b 1"], {"a": 1, "b": 1})


@pytest.mark.parametrize(
    ("diary", "results", "options"),
    [
        (["start a 1", "end a 1"], {"a": 1}, {}),
        (["start a 1", "end a 1", "start a 2", "end a 2", "start b 1"], {"a": 2, "b": 1}, {}),
        (["start a 1", "start a 2", "start b 1"], {"a": 1, "b": 1}, {}),
        (["start a 1", "start b 1"], {"a": 1, "b": 1}, {"recovery": [2.0], "promise": 1.0}),
    ],
    ids=["lost", "doubled", "superseded", "late"],
)
def test_counting_finds_what_is_wrong(
    judge: Judge, diary: list[str], results: dict[str, int], options: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError):
        judge(diary, results, **options)


def test_what_a_fault_allows_is_allowed_once(judge: Judge, tmp_path: Path) -> None:
    fault = Incident(0.5, frozenset({"a"}))
    twice = ["start a 1", "start a 2", "start b 1"]
    judge(twice, {"a": 2, "b": 1}, fault)
    with pytest.raises(AssertionError):
        judge([*twice, "start a 3"], {"a": 3, "b": 1}, fault)
    judge([*twice, "start a 3"], {"a": 3, "b": 1}, fault, fault)
