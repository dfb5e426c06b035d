"""Modules that define tasks are imported; errors in them are not hidden."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.errors import ImproperlyConfigured

Write = Callable[..., None]

TASKS = "from celeriac import shared_task\n\n@shared_task\ndef work(): ...\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes files which can be imported until the test ends."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text)

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_packages_that_have_tasks_are_imported(app: Celeriac, write: Write) -> None:
    write(shop1__in__tasks=TASKS, shop2__in__models="", shop3__in__jobs=TASKS)
    app.autodiscover_tasks(["shop1", "shop2"])
    app.autodiscover_tasks(lambda: ["shop3"], related_name="jobs")
    assert "shop1.tasks" not in sys.modules
    app.import_default_modules()
    assert {"shop1.tasks.work", "shop3.jobs.work"} <= set(app.tasks)


def test_it_can_be_done_at_once(app: Celeriac, write: Write) -> None:
    write(soon__in__tasks=TASKS, whole="from celeriac import shared_task\n@shared_task\ndef work(): ...\n")
    app.autodiscover_tasks(["soon"], force=True)
    app.autodiscover_tasks(["whole"], related_name=None, force=True)
    assert {"soon.tasks.work", "whole.work"} <= set(app.tasks)


def test_a_name_of_something_in_a_package_is_understood(app: Celeriac, write: Write) -> None:
    write(dj__in__tasks=TASKS, dj__in__apps="class DjConfig: ...")
    app.autodiscover_tasks(["dj.apps.DjConfig"], force=True)
    assert "dj.tasks.work" in app.tasks


def test_an_error_in_a_module_passes_with_its_name(app: Celeriac, write: Write) -> None:
    write(bad__in__tasks="import no_such_module_here", worse__in__tasks="1 / 0")
    for package, error in (("bad", ModuleNotFoundError), ("worse", ZeroDivisionError)):
        with pytest.raises(error) as caught:
            app.autodiscover_tasks([package], force=True)
        assert f"importing '{package}.tasks', which autodiscover_tasks names" in caught.value.__notes__[0]


def test_a_package_whose_own_import_fails_is_not_passed_over(app: Celeriac, write: Write, tmp_path: Path) -> None:
    write(torn__in__tasks=TASKS)
    (tmp_path / "torn" / "__init__.py").write_text("import no_such_module_here")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        app.autodiscover_tasks(["torn"], force=True)


def test_a_package_that_is_not_there_is_named(app: Celeriac) -> None:
    with pytest.raises(ModuleNotFoundError, match="given the package 'no_such_package'"):
        app.autodiscover_tasks(["no_such_package"], force=True)


def test_what_is_no_list_of_packages_is_refused(app: Celeriac) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"a list of packages: \['shop'\]"):
        app.autodiscover_tasks("shop")
    with pytest.raises(ImproperlyConfigured, match="needs the packages"):
        app.autodiscover_tasks()


def test_settings_name_modules_too(make_app: Callable[..., Celeriac], write: Write) -> None:
    write(one=TASKS, two=TASKS)
    app = make_app(include=["one"], imports=["two"])
    app.import_default_modules()
    assert {"one.work", "two.work"} <= set(app.tasks)
    broken = make_app(include=["no_such_module_here"])
    with pytest.raises(ModuleNotFoundError) as caught:
        broken.import_default_modules()
    notes: Any = caught.value.__notes__
    assert "which setting include names" in notes[0]
