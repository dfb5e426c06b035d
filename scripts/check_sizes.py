"""Hold the code to its size caps: a soft cap is a warning in the summary, a hard cap fails.

Short functions are not the aim; the long tail is what makes a code base hard to read, so the tail is capped. A place
that must be larger stands in ``ALLOWED`` with the cap it gets instead and the reason. There is no other way out.

How things are counted:

- A file: all its physical lines.
- A function: from the line of ``def`` to its last line, without its docstring and without its decorators.
- Parameters: all of them, ``*args`` and ``**kwargs`` too, but neither ``self`` nor ``cls``.
- Positional parameters: those that are not keyword-only, counted likewise; methods named ``__so__`` are left out.
- Public methods: different names of functions in a class body that start neither with ``_`` nor with ``test``.
- Nesting: how many functions a function stands in.
- Own imports in functions: ``import celeriac...`` inside a function.
- Mocks: calls in tests that replace code (``Mock()``, ``patch()``, ``monkeypatch.setattr()`` and the like), per test.
  ``monkeypatch.setenv`` and ``chdir`` replace no code and are free.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Rule:
    """A cap; ``hard`` is ``None`` where only the summary should tell."""

    name: str
    soft: float
    hard: float | None


FILE: Final = Rule("file lines", 400, 600)
FUNCTION: Final = Rule("function lines", 40, 60)
PARAMETERS: Final = Rule("parameters", 5, 7)
POSITIONAL: Final = Rule("positional parameters", 2, None)
METHODS: Final = Rule("public methods", 12, 20)
NESTING: Final = Rule("nesting of functions", 1, 2)
OWN_IMPORTS: Final = Rule("own imports in functions", 0, 0)
CLASS_STRINGS: Final = Rule("module:Class strings", 0, 0)
MOCKS: Final = Rule("mocks per test", 0.05, 0.15)

EVERYWHERE: Final = frozenset({FILE, FUNCTION, NESTING})
RULES: Final = {
    "src": EVERYWHERE | {PARAMETERS, POSITIONAL, METHODS, OWN_IMPORTS, CLASS_STRINGS},
    "scripts": EVERYWHERE | {PARAMETERS, METHODS},
    "benchmarks": EVERYWHERE | {PARAMETERS, METHODS},
    "examples": EVERYWHERE | {PARAMETERS, METHODS},
    # Fixtures are parameters, and the classes of a test are what it is about.
    "tests": EVERYWHERE | {MOCKS},
}


@dataclass(frozen=True)
class Allowance:
    """An exception: places that match ``where`` (``path::qualified.name``, ``*`` for any text) get ``cap`` instead."""

    rule: Rule
    where: str
    cap: float
    reason: str

    def covers(self, measure: Measure) -> bool:
        """Tell whether this exception is for that place."""
        return self.rule is measure.rule and fnmatchcase(measure.where, self.where)


ALLOWED: Final = (
    Allowance(PARAMETERS, "src/celeriac/app/*::*apply_async", 40, "Celery's public signature, kept by name"),
    Allowance(PARAMETERS, "src/celeriac/app/*::*send_task", 40, "Celery's public signature, kept by name"),
    Allowance(PARAMETERS, "src/celeriac/app/*::*.retry", 12, "Celery's public signature, kept by name"),
    Allowance(PARAMETERS, "src/celeriac/app/*::*.task", 40, "the options of @app.task, each typed, as Celery has them"),
    Allowance(PARAMETERS, "src/celeriac/app/*::shared_task", 40, "the options of @app.task"),
    Allowance(PARAMETERS, "src/celeriac/app/*::*.get", 12, "Celery's public signature of AsyncResult.get"),
    Allowance(PARAMETERS, "src/celeriac/app/*::*.aget", 12, "the awaitable twin of AsyncResult.get"),
    Allowance(PARAMETERS, "src/celeriac/app/canvas.py::Signature.__init__", 9, "Celery's public signature"),
    Allowance(PARAMETERS, "src/celeriac/app/app.py::Celeriac.__init__", 14, "Celery's public signature, kept by name"),
    Allowance(METHODS, "src/celeriac/execution/context.py::Request", 25, "Celery's request fields, each a property"),
    Allowance(PARAMETERS, "src/celeriac/worker/fetcher.py::Fetcher.__init__", 10, "wiring, each part by keyword"),
    Allowance(METHODS, "src/celeriac/app/canvas.py::Signature", 28, "Celery's public class, kept by name"),
    Allowance(METHODS, "src/celeriac/app/result.py::AsyncResult", 40, "Celery's public class, and its awaitable twins"),
    Allowance(METHODS, "src/celeriac/app/app.py::Celeriac", 24, "Celery's public class, kept by name"),
    Allowance(
        METHODS, "src/celeriac/app/group_result.py::ResultSet", 30, "Celery's public class, and its awaitable twins"
    ),
    Allowance(PARAMETERS, "src/celeriac/cli/*", 40, "a command's parameters are its options"),
    Allowance(POSITIONAL, "src/celeriac/cli/*", 40, "click passes options by name"),
    Allowance(OWN_IMPORTS, "src/celeriac/cli/*", 20, "a command loads only what it needs, so that --help is quick"),
    Allowance(OWN_IMPORTS, "src/celeriac/brokers/__init__.py::*", 12, "the driver table: a driver loads with its URL"),
    Allowance(OWN_IMPORTS, "src/celeriac/results/__init__.py::*", 12, "the driver table: a driver loads with its URL"),
)


@dataclass(frozen=True)
class Measure:
    """One measured place."""

    rule: Rule
    path: str
    line: int
    name: str
    value: float

    @property
    def where(self) -> str:
        """What an allowance is matched with."""
        return f"{self.path}::{self.name}"

    def __str__(self) -> str:
        """Say where, what, and how much."""
        return f"{self.path}:{self.line}: {self.name or 'file'}: {self.value:g} {self.rule.name}"


@dataclass
class Totals:
    """What was read, for the summary."""

    files: int = 0
    functions: int = 0
    tests: int = 0
    mocks: int = 0
    measures: list[Measure] = field(default_factory=list[Measure])


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_CLASS_STRING = re.compile(r"celeriac(\.\w+)*:\w+(\.\w+)*")
_MOCK_CALL = re.compile(
    r"(unittest\.)?(mock\.)?(\w*Mock|create_autospec|patch(\.(object|dict|multiple))?)"
    r"|monkeypatch\.(set|del)(attr|item)"
)


def body_lines(node: FunctionNode) -> int:
    """Return the lines of a function without its docstring."""
    last = node.end_lineno or node.lineno
    lines = last - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def is_mock_call(node: ast.Call) -> bool:
    """Tell whether a call replaces code by a stand-in."""
    return _MOCK_CALL.fullmatch(ast.unparse(node.func)) is not None


class _Reader(ast.NodeVisitor):
    """Measures one file; knows at each node which classes and functions it stands in."""

    def __init__(self, path: str, totals: Totals) -> None:
        self._path = path
        self._totals = totals
        self._names: list[str] = []
        self._depth = 0
        self._in_class = False

    def add(self, rule: Rule, line: int, value: float, name: str | None = None) -> None:
        where = ".".join(self._names) if name is None else name
        self._totals.measures.append(Measure(rule, self._path, line, where, value))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        methods = {item.name for item in node.body if isinstance(item, FunctionNode)}
        self.add(METHODS, node.lineno, sum(not name.startswith(("_", "test")) for name in methods))
        self._enter(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Import(self, node: ast.Import) -> None:
        if self._depth and any(alias.name.split(".")[0] == "celeriac" for alias in node.names):
            self.add(OWN_IMPORTS, node.lineno, 1)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if self._depth and (node.level or (node.module or "").split(".")[0] == "celeriac"):
            self.add(OWN_IMPORTS, node.lineno, 1)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _CLASS_STRING.fullmatch(node.value):
            self.add(CLASS_STRINGS, node.lineno, 1)

    def visit_Call(self, node: ast.Call) -> None:
        self._totals.mocks += self._path.startswith("tests/") and is_mock_call(node)
        self.generic_visit(node)

    def _function(self, node: FunctionNode) -> None:
        self._names.append(node.name)
        self._totals.functions += 1
        self._totals.tests += node.name.startswith("test_") and self._path.startswith("tests/")
        self.add(FUNCTION, node.lineno, body_lines(node))
        self.add(NESTING, node.lineno, self._depth)
        self._parameters(node)
        self._depth += 1
        self._enter(node, in_class=False)
        self._depth -= 1

    def _parameters(self, node: FunctionNode) -> None:
        given = node.args
        positional = len(given.posonlyargs) + len(given.args)
        if self._in_class and not any(ast.unparse(item) == "staticmethod" for item in node.decorator_list):
            positional -= 1
        rest = len(given.kwonlyargs) + (given.vararg is not None) + (given.kwarg is not None)
        self.add(PARAMETERS, node.lineno, positional + rest)
        if not node.name.startswith("__"):
            self.add(POSITIONAL, node.lineno, positional)

    def _enter(self, node: ast.ClassDef | FunctionNode, *, in_class: bool) -> None:
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside
        self._names.pop()


def read(path: str, source: str, totals: Totals) -> None:
    """Measure one file; ``path`` is relative to the root of the checkout, with slashes."""
    totals.files += 1
    wanted = RULES[path.split("/")[0]]
    before = len(totals.measures)
    reader = _Reader(path, totals)
    reader.add(FILE, 1, len(source.splitlines()), name="")
    reader.visit(ast.parse(source, path))
    totals.measures[before:] = [measure for measure in totals.measures[before:] if measure.rule in wanted]


def read_tree(root: Path) -> Totals:
    """Measure every Python file of the checkout that has rules."""
    totals = Totals()
    for folder in RULES:
        for path in sorted((root / folder).rglob("*.py")):
            read(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"), totals)
    if totals.tests:
        # At least one is free, or the first mock in a young suite would already be too many.
        per_test = max(0, totals.mocks - 1) / totals.tests
        totals.measures.append(Measure(MOCKS, "tests", 1, "all tests", round(per_test, 3)))
    return totals


def judge(measures: Iterable[Measure], allowed: Sequence[Allowance]) -> tuple[list[Measure], list[Measure]]:
    """Return what is over a hard cap and what is over a soft one only."""
    hard: list[Measure] = []
    soft: list[Measure] = []
    for measure in measures:
        caps = [item.cap for item in allowed if item.covers(measure)]
        if measure.value <= max(caps, default=measure.rule.soft):
            continue
        limit = measure.rule.hard
        (soft if limit is None or measure.value <= max([limit, *caps]) else hard).append(measure)
    return hard, soft


def idle(measures: Sequence[Measure], allowed: Iterable[Allowance]) -> list[Allowance]:
    """Return the allowances that no place of the tree needs."""
    return [item for item in allowed if not any(item.covers(m) and m.value > m.rule.soft for m in measures)]


def summary(totals: Totals, soft: Sequence[Measure]) -> list[str]:
    """Return the lines that say what was read, and per rule how many places are over its soft cap and the worst."""
    lines = [f"{totals.files} files, {totals.functions} functions, {totals.tests} tests, {totals.mocks} mocks"]
    by_rule: defaultdict[str, list[Measure]] = defaultdict(list)
    for measure in soft:
        by_rule[measure.rule.name].append(measure)
    for name, found in by_rule.items():
        worst = max(found, key=lambda measure: measure.value)
        lines.append(f"over the soft cap of {worst.rule.soft:g} {name}: {len(found)}, the worst is {worst}")
    return lines


def main(argv: Sequence[str]) -> int:
    """Print the summary; return 1 if anything is over a hard cap.

    With ``-v`` it also prints every place over a soft cap and every exception that nothing needs any more.
    """
    totals = read_tree(ROOT)
    hard, soft = judge(totals.measures, ALLOWED)
    print("\n".join(summary(totals, soft)))
    if "-v" in argv:
        print("\n".join(map(str, soft)))
        print("\n".join(f"not needed: {item.rule.name} for {item.where}" for item in idle(totals.measures, ALLOWED)))
    for measure in hard:
        print(f"{measure}, the hard cap is {measure.rule.hard:g}")
    if hard:
        print("Make it smaller, or add it to ALLOWED in scripts/check_sizes.py with the reason.")
    return 1 if hard else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
