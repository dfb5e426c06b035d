"""The public API is what it was, the awaitable half matches the blocking half, and imports stay quick."""

from __future__ import annotations

import difflib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import celeriac
import celeriac.exceptions
from celeriac import AsyncResult, Celeriac, Signature, Task, errors, result
from celeriac.app import state
from celeriac.app.control import Control, Inspect
from celeriac.app.eager_result import EagerResult
from celeriac.app.schedule import Schedule
from celeriac.testing import Kit
from tests.api import snapshot, typing_sample


@pytest.fixture(autouse=True)
def no_app_left() -> Iterator[None]:
    yield
    state.set_current(None)


def test_the_public_api_has_not_changed_unnoticed() -> None:
    kept = snapshot.SNAPSHOT.read_text()
    found = snapshot.snapshot()
    change = "\n".join(difflib.unified_diff(kept.splitlines(), found.splitlines(), "kept", "found", lineterm="", n=0))
    assert not change, f"if this is meant, run `python -m tests.api.snapshot` and commit the change:\n{change}"


# The blocking method, and its awaitable twin. What blocks and has no twin stands with None and a reason.
TWINS: dict[type, dict[str, str | None]] = {
    Task: {
        "delay": "adelay",
        "apply_async": "aapply_async",
        "apply_many": "aapply_many",
        "update_state": "aupdate_state",
        "apply": None,  # Runs here; nothing is awaited.
    },
    Celeriac: {"send_task": "asend_task", "send_tasks": "asend_tasks", "close": "aclose", "disconnect": "adisconnect"},
    Kit: {"drain": "adrain", "advance": "aadvance", "finish": "afinish"},
    Signature: {"delay": "adelay", "apply_async": "aapply_async"},
    Control: {
        "revoke": "arevoke",
        "terminate": "aterminate",
        "broadcast": "abroadcast",
        "ping": "aping",
        "shutdown": "ashutdown",
        "purge": "apurge",
        "ask": "aask",
    },
    Schedule: {
        name: f"a{name}"
        for name in ("add", "update", "enable", "disable", "remove", "run_now", "get", "list", "history")
    },
    Inspect: {
        name: f"a{name}"
        for name in (
            "active",
            "reserved",
            "scheduled",
            "registered",
            "stats",
            "ping",
            "conf",
            "active_queues",
            "report",
        )
    },
}
for kind in (AsyncResult, EagerResult):
    TWINS[kind] = {name: f"a{name}" for name in ("get", "ready", "maybe_throw", "revoke", "forget")}

PAIRS = [(kind, one, twin) for kind, names in TWINS.items() for one, twin in names.items() if twin is not None]


@pytest.mark.parametrize(("kind", "name", "twin"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_a_twin_has_the_same_parameters(kind: Any, name: str, twin: str) -> None:
    blocking, awaiting = getattr(kind, name), getattr(kind, twin)
    assert not inspect.iscoroutinefunction(blocking)
    assert inspect.iscoroutinefunction(awaiting)
    assert parameters(blocking) == parameters(awaiting)


@pytest.mark.parametrize("kind", list(TWINS), ids=lambda kind: kind.__name__)
def test_every_coroutine_method_is_somebodys_twin(kind: type) -> None:
    twins = {twin for twin in TWINS[kind].values() if twin is not None} | {"astate"}
    coroutines = {
        name
        for name in dir(kind)
        if not name.startswith("_") and inspect.iscoroutinefunction(inspect.getattr_static(kind, name))
    }
    assert coroutines <= twins


def test_functions_have_twins_too() -> None:
    assert parameters(result.gather) == parameters(result.agather)


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]


def test_all_exceptions_are_public() -> None:
    assert celeriac.exceptions.__all__ == errors.__all__
    assert all(getattr(celeriac.exceptions, name) is getattr(errors, name) for name in errors.__all__)


def test_the_typing_sample_runs() -> None:
    assert typing_sample.add(1) == 3
    typing_sample.app.finalize()


def test_importing_celeriac_leaves_asyncio_and_the_command_line_alone() -> None:
    code = (
        "import sys, celeriac\n"
        "app = celeriac.Celeriac(broker='memory://x')\n"
        "app.task(name='add')(print)\n"
        "print([name for name in ('asyncio', 'rich', 'click', 'sqlite3', 'ssl', 'multiprocessing')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["beat"])
def test_names_that_are_not_there_yet_say_so_on_import(name: str) -> None:
    with pytest.raises(ImportError, match=f"celeriac.{name} comes in a later version, with .*; until then "):
        exec(f"from celeriac import {name}")


def test_other_names_are_missing_in_the_ordinary_way() -> None:
    assert not hasattr(celeriac, "no_such_name")
    with pytest.raises(ImportError, match="cannot import name 'no_such_name' from 'celeriac'"):
        exec("from celeriac import no_such_name")
