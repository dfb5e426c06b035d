"""Prose that names code names code that exists: ARCHITECTURE.md, the decision records, explanations and glossary."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from celeriac.app.options import SEND_NAMES, TASK_NAMES
from celeriac.brokers.sqlite.url import PARAMETERS as URL_PARAMETERS
from celeriac.core.settings_table import SETTINGS
from celeriac.core.state import ALL_STATES, EVENTS
from celeriac.worker.options import POOLS, START_METHODS
from tests.docs.pages import PROJECT

SOURCE = PROJECT / "src" / "celeriac"
PAGES = [
    PROJECT / "ARCHITECTURE.md",
    *sorted((PROJECT / "docs" / "decisions").glob("000[2-9]*.md")),
    *sorted((PROJECT / "docs" / "explanation").glob("*.md")),
    PROJECT / "docs" / "glossary.md",
]

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_TICKED = re.compile(r"`([^`\n]+)`")
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*(\(\))?")
_PATH = re.compile(r"[\w.*-]+(/[\w.*-]*)+|[\w-]+\.(py|md|toml)")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*( \S+)?")
# Words in code font that are not names in the code: values, and names of what surrounds it.
_WORDS = (
    frozenset({"async def", "operations", "self.request", "normal", "full", "None", "True", "False", "-wal", "-shm"})
    | {"FLUSHALL", "KEYS", "SCAN", "everysec", "maxmemory"}
    | {*POOLS, *START_METHODS, *URL_PARAMETERS, *EVENTS}
    | SETTINGS.keys()
    | ALL_STATES
    | SEND_NAMES
    | TASK_NAMES
)
# Command lines have a test of their own.
_BEGINNINGS = ("celeriac ", "make ", "python -m ", "sqlite3 ", "sqlite://", "memory://")
# Options of URLs, keys in Redis, and lines of its configuration.
_REDIS = ("?", "{celeriac}", "appendfsync ", "appendonly ", "maxmemory-policy ")


@cache
def names() -> frozenset[str]:
    """Return every class, function, method, constant and field in the source, methods also as Class.method."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.add(node.name)
                found |= {f"{node.name}.{one}" for inner in node.body for one in _bound(inner)}
            found |= _bound(node)
    return frozenset(found)


def _bound(node: ast.AST) -> set[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.Assign():
            return {one.id for one in node.targets if isinstance(one, ast.Name)}
        case ast.AnnAssign() if isinstance(node.target, ast.Name):
            return {node.target.id}
        case _:
            return set()


@cache
def inherited() -> frozenset[str]:
    """Return Class.method for methods that a class of the source has from another one."""
    bases: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [re.sub(r"\[.*", "", ast.unparse(base)) for base in node.bases]
    found: set[str] = set()
    for name, above in bases.items():
        todo = list(above)
        while todo:
            base = todo.pop()
            found |= {f"{name}.{one.partition('.')[2]}" for one in names() if one.startswith(f"{base}.")}
            todo += bases.get(base, [])
    return frozenset(found)


def exists(text: str) -> bool:
    """Tell whether what stands in backticks is there."""
    plain = text.removesuffix("()").removeprefix("self.request.")
    if plain in _WORDS or text.startswith(_BEGINNINGS + _REDIS) or _OPTION.fullmatch(text):
        return True
    if _PATH.fullmatch(text):
        return any(any(root.glob(text.rstrip("/"))) for root in (PROJECT, SOURCE))
    if _NAME.fullmatch(text):
        return plain.removeprefix("celeriac.") in names() | inherited()
    head = re.match(r"[A-Za-z_]\w*(?=[=(])", text)  # A call, or a name with its value.
    return head is not None and head[0] in _WORDS | names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_stands_in_backticks_exists(page: Path) -> None:
    prose = _FENCED.sub("", page.read_text())
    unknown = sorted({text for text in _TICKED.findall(prose) if not exists(text)})
    assert not unknown, f"{page.name} names what is not there: {unknown}"


def test_names_in_the_picture_of_who_creates_whom_exist() -> None:
    picture = next(text for text in _FENCED.findall((PROJECT / "ARCHITECTURE.md").read_text()) if "Supervisor" in text)
    classes = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", picture))
    assert {"Supervisor", "Keeper", "Engine", "Fetcher", "Settler"} <= classes <= names()


def test_the_keeper_has_the_services_that_the_picture_shows() -> None:
    source = (SOURCE / "worker" / "keeper.py").read_text()
    block = source[source.index("services: Sequence[Service] = (") :].partition("\n        )\n")[0]
    made = re.findall(r"^\s+(?:self\.)?(\w+)\(|^\s+self\.(\w+),$", block, re.MULTILINE)
    listed = {(first or second).lstrip("_").lower() for first, second in made}
    shown = next(line for line in (PROJECT / "ARCHITECTURE.md").read_text().splitlines() if "Reaper ·" in line)
    assert listed == {word.strip(" │").lower() for word in shown.split("·")}


def test_the_check_can_fail() -> None:
    assert not exists("Supervisor.does_not_exist")
    assert not exists("worker/no_such_file.py")
    assert not exists("task_no_such_setting")
