"""A task has the same name where it is sent and where it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.app.naming import task_name

SCRIPT = """
from celeriac import Celeriac
app = Celeriac({main})
@app.task
def add(x, y): ...
print(add.name)
"""


def run(*words: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_a_task_is_named_after_its_module() -> None:
    assert task_name("add", "proj.tasks", None) == "proj.tasks.add"
    assert task_name("add", "proj.tasks", "proj") == "proj.tasks.add"


@pytest.mark.parametrize("module", ["__main__", None])
def test_a_task_of_a_script_is_named_after_the_app(module: str | None) -> None:
    assert task_name("add", module, "proj") == "proj.add"


@pytest.mark.parametrize(("main", "name"), [("'shop'", "shop.add"), ("", "orders.add")])
def test_a_task_of_a_script_without_an_app_name_is_named_after_the_file(tmp_path: Path, main: str, name: str) -> None:
    (tmp_path / "orders.py").write_text(SCRIPT.format(main=main))
    assert run("orders.py", folder=tmp_path) == name


def test_a_module_run_by_its_name_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.py").write_text(SCRIPT.format(main=""))
    assert run("-m", "shop.orders", folder=tmp_path) == "shop.orders.add"


def test_a_package_run_by_its_name_is_not_called_main(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "__main__.py").write_text(SCRIPT.format(main=""))
    assert run("-m", "shop", folder=tmp_path) == "shop.add"
