"""The page about task options has every option, with its true default, and every setting that pages name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from celeriac import signals
from celeriac.app.options import SEND_NAMES, TASK_NAMES
from celeriac.app.task import FROM_SETTINGS, HOOKS, Task
from celeriac.core.settings_table import SETTINGS
from tests.docs.pages import PROJECT, documentation

PAGE = PROJECT / "docs" / "reference" / "task.md"
# Celery's options that are accepted and change nothing, or that only another program of ours sets.
SILENT = {
    "acks_on_failure_or_timeout", "delivery_mode", "exchange", "lazy", "pydantic_context", "pydantic_dump_kwargs",
    "pydantic_strict", "resultrepr_maxsize", "routing_key", "send_events", "shared", "store_eager_result",
    "store_errors_even_if_ignored", "trail",
}  # fmt: skip
_SETTING = re.compile(r"`((?:task|worker|broker|result|beat)_[a-z_]+)`")
_NOT_SETTINGS = {"task_id", "result_serializer", *signals.__all__}


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    part = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_option_of_a_task_is_told() -> None:
    told = {row[0].strip("`") for row in table("@app.task")}
    assert told == (TASK_NAMES - SILENT) | {"bind", "base"}


def test_defaults_are_the_real_ones() -> None:
    for name, shown, *_ in table("@app.task"):
        option = name.strip("`")
        setting = re.match(r"`(\w+)`", shown)
        if option in FROM_SETTINGS and option != "rate_limit":
            assert setting, option
            assert setting[1] == FROM_SETTINGS[option]
            bracket = re.search(r"\(`(\w+)`\)", shown)
            assert not bracket or bracket[1] == str(SETTINGS[setting[1]].default)
        elif hasattr(Task, option) and getattr(Task, option) is not None and option != "name":
            assert (
                shown.strip("`") == f"{getattr(Task, option):g}" if _is_number(option) else str(getattr(Task, option))
            )


def _is_number(option: str) -> bool:
    return isinstance(getattr(Task, option), (int, float)) and not isinstance(getattr(Task, option), bool)


def test_options_of_a_call_exist() -> None:
    told = {name for row in table("apply_async") for name in re.findall(r"`(\w+)`", row[0])}
    assert told <= SEND_NAMES
    assert {"countdown", "eta", "expires", "queue", "priority", "task_id", "link", "link_error"} <= told


def test_every_hook_is_told() -> None:
    assert {row[0].strip("`").partition("(")[0] for row in table("Hooks")} == set(HOOKS)


@pytest.mark.parametrize("page", documentation(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    named = set(_SETTING.findall(page.read_text())) - _NOT_SETTINGS
    assert named <= SETTINGS.keys() | TASK_NAMES
