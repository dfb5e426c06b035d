"""The README: its two commands exist, its tour runs with a real worker."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.docs.pages import PROJECT, Scenario, blocks, commands

README = PROJECT / "README.md"
MAX_LINES = 200


def test_the_tour_runs(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    scenario.play(README)
    assert scenario.done >= 10


def test_the_tour_shows_a_worker_files_sessions_and_commands() -> None:
    shown = blocks(README)
    assert any(block.title == "tasks.py" for block in shown)
    assert any(
        " worker " in command.text for block in shown if block.language == "console" for command in commands(block)
    )
    assert any(block.language == "pycon" for block in shown)


def test_make_has_every_target_that_is_named() -> None:
    targets = set(re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z][\w-]*)", README.read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_extras_and_python_are_those_of_the_package() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    text = README.read_text()
    extras = {one for found in re.findall(r"\.\[([\w,]+)\]", text) for one in found.split(",")}
    assert extras
    assert extras <= set(project["optional-dependencies"])
    assert project["requires-python"].removeprefix(">=") in text


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_LINES
