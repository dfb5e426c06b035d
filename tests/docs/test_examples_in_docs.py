"""Every Python block in the documentation compiles, and every page's programs, sessions and commands really run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import LANGUAGES, PROJECT, Scenario, blocks, check_fragment, documentation
from tests.support.postgres_time import server as postgres_server

PAGES = documentation()
BLOCKS = [block for page in PAGES for block in blocks(page)]
TO_PLAY = [
    page
    for page in PAGES
    if page.name not in ("README.md", "try-a-broker.md")  # They have tests of their own.
    and any(block.language in ("pycon", "console") or block.title for block in blocks(page))
]


def offer_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a URL without a host lead to a server with the database ``shop``, empty."""
    server = postgres_server()
    server.ask("DROP DATABASE IF EXISTS shop", database="postgres")
    server.ask("CREATE DATABASE shop", database="postgres")
    for variable, value in (("PGHOST", "127.0.0.1"), ("PGPORT", str(server.port)), ("PGUSER", "tester")):
        monkeypatch.setenv(variable, value)


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: block.place)
def test_a_python_block_compiles(block: object) -> None:
    check_fragment(block)  # type: ignore[arg-type]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert page.read_text().count("\n```") == 2 * len(blocks(page)), "a fence is indented or not closed"
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", TO_PLAY, ids=name)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "postgresql:///" in page.read_text():
        offer_postgres(monkeypatch)
    scenario = Scenario(tmp_path)
    scenario.play(page)
    assert scenario.done
