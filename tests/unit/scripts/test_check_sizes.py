from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from scripts import check_sizes
from scripts.check_sizes import (
    CLASS_STRINGS,
    FILE,
    FUNCTION,
    METHODS,
    MOCKS,
    NESTING,
    OWN_IMPORTS,
    PARAMETERS,
    POSITIONAL,
    Allowance,
    Measure,
    Rule,
    Totals,
    idle,
    judge,
    read,
    read_tree,
)

if TYPE_CHECKING:
    from pathlib import Path


def measures(source: str, rule: Rule, path: str = "src/celeriac/x.py") -> dict[str, float]:
    totals = Totals()
    read(path, textwrap.dedent(source).lstrip("\n"), totals)
    return {measure.name: measure.value for measure in totals.measures if measure.rule is rule}


def test_a_file_is_all_its_lines() -> None:
    assert measures("a = 1\n\n# b\nc = 2\n", FILE) == {"": 4}


def test_a_function_is_counted_without_docstring_and_decorators() -> None:
    source = '''
        @decorated(
            1,
        )
        def told():
            """One.

            Three.
            """
            a = 1
            return a

        async def untold(): return 1
    '''
    assert measures(source, FUNCTION) == {"told": 3, "untold": 1}


def test_parameters_are_counted_without_self_and_cls() -> None:
    source = """
        def free(a, /, b, *args, c, **kwargs): ...
        class C:
            def method(self, a, *, b): ...
            @classmethod
            def made(cls, a): ...
            @staticmethod
            def static(a, b, c): ...
            def __exit__(self, a, b, c): ...
    """
    assert measures(source, PARAMETERS) == {"free": 5, "C.method": 2, "C.made": 1, "C.static": 3, "C.__exit__": 3}
    assert measures(source, POSITIONAL) == {"free": 2, "C.method": 1, "C.made": 1, "C.static": 3}


def test_public_methods_are_counted_once_by_name() -> None:
    source = """
        class C:
            @overload
            def a(self): ...
            @overload
            def a(self, b): ...
            def a(self, b=None): ...
            @property
            def p(self): ...
            @p.setter
            def p(self, value): ...
            async def b(self): ...
            def _private(self): ...
            def __len__(self): ...
            def test_something(self): ...
    """
    assert measures(source, METHODS) == {"C": 3}


def test_nesting_counts_functions_and_not_classes() -> None:
    source = """
        def a():
            def b():
                class C:
                    def d(self): ...
    """
    assert measures(source, NESTING) == {"a": 0, "a.b": 1, "a.b.C.d": 2}


def test_own_imports_are_found_in_functions_only() -> None:
    source = """
        import celeriac.core
        def a():
            import json
            from celeriacal import other
        def b():
            from celeriac.core import state
        def c():
            import celeriac
        def d():
            from . import near
    """
    assert measures(source, OWN_IMPORTS) == {"b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [("celeriac.app:App", True), ("celeriac:App.main", True), ("celeriac: a queue", False), ("proj.tasks:app", False)],
)
def test_strings_that_name_a_class_of_ours_are_found(text: str, found: bool) -> None:
    assert bool(measures(f"x = {text!r}", CLASS_STRINGS)) is found


@pytest.mark.parametrize(
    ("code", "mocks"),
    [
        ("Mock()", 1),
        ("mock.MagicMock(spec=int)", 1),
        ("unittest.mock.patch.object(a, 'b')", 1),
        ("monkeypatch.setattr(a, 'b', 1)", 1),
        ("monkeypatch.setenv('A', 'b')", 0),
        ("client.patch('/url')", 0),
    ],
)
def test_mocks_are_calls_that_replace_code(code: str, mocks: int) -> None:
    totals = Totals()
    read("tests/test_x.py", f"def test_x():\n    {code}\n", totals)
    assert (totals.tests, totals.mocks) == (1, mocks)


def test_tests_have_fewer_rules() -> None:
    source = "def test_x(a, b, c, d, e, f, g, h): ..."
    assert measures(source, PARAMETERS, path="tests/test_x.py") == {}
    assert measures(source, FUNCTION, path="tests/test_x.py") == {"test_x": 1}


@pytest.mark.parametrize(
    ("value", "verdict"), [(40, "fine"), (41, "soft"), (60, "soft"), (61, "hard")], ids=lambda value: str(value)
)
def test_the_caps_are_the_last_values_allowed(value: int, verdict: str) -> None:
    hard, soft = judge([Measure(FUNCTION, "src/a.py", 1, "f", value)], [])
    assert ("hard" if hard else "soft" if soft else "fine") == verdict


def test_a_rule_without_a_hard_cap_never_fails() -> None:
    hard, soft = judge([Measure(POSITIONAL, "src/a.py", 1, "f", 99)], [])
    assert (len(hard), len(soft)) == (0, 1)


def test_an_allowance_moves_the_cap_of_its_rule_and_place_only() -> None:
    allowed = [Allowance(PARAMETERS, "src/celeriac/app/*::*.apply_async", 30, "public")]
    place = ("src/celeriac/app/task.py", 1, "Task.apply_async")
    assert judge([Measure(PARAMETERS, *place, 30)], allowed) == ([], [])
    for beyond in (
        Measure(PARAMETERS, *place, 31),
        Measure(FUNCTION, *place, 61),
        Measure(PARAMETERS, "src/celeriac/worker/task.py", 1, "Task.apply_async", 30),
    ):
        assert judge([beyond], allowed) == ([beyond], [])


def test_an_allowance_that_nothing_needs_is_named() -> None:
    needed = Allowance(PARAMETERS, "src/a.py::*", 9, "reason")
    unneeded = Allowance(PARAMETERS, "src/b.py::*", 9, "reason")
    found = [Measure(PARAMETERS, "src/a.py", 1, "f", 8), Measure(PARAMETERS, "src/b.py", 1, "f", 5)]
    assert idle(found, [needed, unneeded]) == [unneeded]


def test_a_tree_is_read_by_its_folders(tmp_path: Path) -> None:
    for name, text in {
        "src/celeriac/a.py": "def f(): ...\n",
        "tests/test_a.py": "def test_a():\n    Mock()\n    Mock()\ndef test_b(): ...\n",
        "elsewhere/b.py": "this is not read",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    totals = read_tree(tmp_path)
    assert (totals.files, totals.functions, totals.tests, totals.mocks) == (2, 3, 2, 2)
    assert [measure.value for measure in totals.measures if measure.rule is MOCKS] == [0.5]


def test_every_exception_has_a_reason() -> None:
    assert all(item.reason for item in check_sizes.ALLOWED)
