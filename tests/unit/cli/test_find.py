"""``-A``: what each form finds, in Celery's order, and one clear sentence for each way to fail."""

from __future__ import annotations

import sys

import pytest

from celeriac.app.find import find_app
from celeriac.errors import ImproperlyConfigured
from tests.unit.cli.conftest import Project

MAKE = "from celeriac import Celeriac\n{name} = Celeriac({main!r})\n"


def make(name: str = "app", main: str | None = None) -> str:
    return MAKE.format(name=name, main=main or name)


def failure(target: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        find_app(target)
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "target", "main"),
    [
        ({"fa.py": make("app")}, "fa", "app"),
        ({"fb.py": make("celery")}, "fb", "celery"),
        ({"fc.py": make("celeriac", "third")}, "fc", "third"),
        ({"fd.py": make("other")}, "fd", "other"),
        ({"fe.py": make("app") + make("other")}, "fe:other", "other"),
        ({"ff/__init__.py": "", "ff/tasks.py": make()}, "ff.tasks", "app"),
        ({"fg/__init__.py": "", "fg/app.py": make()}, "fg.app:app", "app"),
        ({"fh/__init__.py": "", "fh/celery.py": make()}, "fh", "app"),
        ({"fi/__init__.py": "", "fi/celeriac.py": make("queue")}, "fi.celeriac", "queue"),
        ({"fj/__init__.py": "", "fj/celeriac.py": make("app")}, "fj", "app"),
        ({"fk/__init__.py": "from .celery import app as celery_app", "fk/celery.py": make()}, "fk", "app"),
        ({"fl/__init__.py": make("app", "package")}, "fl.app", "package"),
        ({"fm/__init__.py": "", "fm/tasks.py": make("mine")}, "fm.tasks.mine", "mine"),
        ({"fn.py": "class Own:\n    from celeriac import Celeriac\n    app = Celeriac('mine')"}, "fn:Own.app", "mine"),
        # In a module that is not a package, an app attribute of another kind is passed over, as in a Flask project.
        ({"fx.py": "app = object()\n" + make("queue")}, "fx", "queue"),
        # A namespace package, and an app under two names.
        ({"fp/worker.py": make("app") + "same = app"}, "fp.worker", "app"),
        ({"fq.py": make("one") + "two = one"}, "fq", "one"),
        # A stand-in for the current app is not an app of the module.
        ({"fr.py": make("one") + "from celeriac import current_app"}, "fr", "one"),
        # The order: app before celery before any other; the package's own before its submodule's.
        ({"fs.py": make("other") + make("celery") + make("app")}, "fs", "app"),
        ({"ft.py": make("other") + make("celery")}, "ft", "celery"),
        ({"fu/__init__.py": make("app", "package"), "fu/celery.py": make("app", "submodule")}, "fu", "package"),
        ({"fv/__init__.py": make("other", "package"), "fv/celery.py": make("app", "submodule")}, "fv", "submodule"),
    ],
)  # fmt: skip
def test_finds_the_app(project: Project, files: dict[str, str], target: str, main: str) -> None:
    project(files)
    assert find_app(target).main == main


def test_makes_it_the_default_app(project: Project) -> None:
    from celeriac import current_app

    project(ga=make("one") + make("app", "chosen") + make("last"))
    assert find_app("ga") == current_app
    assert current_app.main == "chosen"


def test_sees_the_working_directory_first(project: Project) -> None:
    here = project(gb=make())
    find_app("gb")
    assert sys.path[0] == str(here)


@pytest.mark.parametrize("target", ["", "proj:", ":app", "proj/tasks.py", "proj tasks", "1proj", "proj..tasks"])
def test_refuses_what_is_no_name(project: Project, target: str) -> None:
    assert f"-A {target!r} is not the name of an app" in failure(target)


def test_says_where_it_looked_for_a_missing_module(project: Project) -> None:
    here = project()
    text = failure("missing_module")
    assert "there is no module 'missing_module'" in text
    assert str(here) in text
    assert "--workdir" in text


def test_says_which_part_of_a_dotted_name_is_missing(project: Project) -> None:
    project({"ha/__init__.py": ""})
    assert "there is no module 'ha.b'; looked in package ha" in failure("ha.b.c")
    assert "there is no module 'ha.b'; looked in package ha" in failure("ha.b:app")
    assert "module ha" in failure("ha.b")
    assert "has no 'b'" in failure("ha.b")


def test_shows_the_error_inside_a_module_and_its_place(project: Project) -> None:
    project(hb="import os\n\n\ndef setup():\n    return {}['queue']\n\n\nsetup()\n")
    text = failure("hb")
    assert "importing 'hb' failed: KeyError: 'queue'" in text
    assert "hb.py, line 5" in text


def test_a_missing_import_inside_a_module_is_not_a_missing_module(project: Project) -> None:
    project({"hc/__init__.py": "", "hc/tasks.py": "import no_such_library\n"})
    text = failure("hc.tasks")
    assert "importing 'hc.tasks' failed: ModuleNotFoundError: No module named 'no_such_library'" in text
    assert "tasks.py, line 1" in text


def test_shows_a_syntax_error_with_its_place(project: Project) -> None:
    project(hd="def broken(:\n    pass\n")
    text = failure("hd")
    assert "SyntaxError" in text
    assert "hd.py, line 1" in text


def test_a_module_that_exits_is_an_error(project: Project) -> None:
    project(he="raise SystemExit(3)")
    assert "importing 'he' failed: it calls sys.exit()" in failure("he")


def test_an_error_of_ours_keeps_its_own_words(project: Project) -> None:
    project(hf="from celeriac import Celeriac\napp = Celeriac('x', worker_pool='gevent')\n")
    text = failure("hf")
    assert text.startswith("setting worker_pool = 'gevent'")


def test_a_module_without_app_says_what_was_looked_at(project: Project) -> None:
    project({"hg/__init__.py": "x = 1\n"})
    text = failure("hg")
    assert "has no Celeriac app" in text
    assert "hg.app, hg.celery, hg.celeriac, hg.celery, hg.celeriac" in text


def test_several_apps_have_to_be_told_apart(project: Project) -> None:
    project(hh=make("one") + make("two"))
    assert "choose one: hh:one, hh:two" in failure("hh")


def test_a_wrong_name_lists_the_apps(project: Project) -> None:
    project(hi=make("one") + make("two") + "value = 3\n")
    assert "has no 'three'; its apps are one, two" in failure("hi:three")
    assert "hi:value is a int, not a Celeriac app" in failure("hi:value")
