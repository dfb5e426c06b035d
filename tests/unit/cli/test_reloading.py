"""Which files --reload watches, and what counts as a change."""

from __future__ import annotations

import os
from pathlib import Path

from celeriac.cli.reloading import changes, snapshot, watched_roots
from tests.unit.cli.conftest import Project


def names(root: Path) -> set[str]:
    return {os.path.relpath(path, root) for path in snapshot([root])}


def test_watches_python_files_of_the_project_alone(project: Project) -> None:
    root = project(
        {
            "proj/tasks.py": "",
            "proj/deep/er/models.py": "",
            "proj/data.csv": "",
            ".hidden/x.py": "",
            "node_modules/y.py": "",
            "env/pyvenv.cfg": "",
            "env/lib/z.py": "",
            "proj/__pycache__/tasks.py": "",
        }
    )
    assert names(root) == {"proj/tasks.py", "proj/deep/er/models.py"}


def test_a_change_is_new_content_a_new_file_or_one_less(project: Project) -> None:
    root = project(a="", b="", c="")
    before = snapshot([root])
    assert changes(before, snapshot([root])) == []
    (root / "a.py").write_text("x = 1\n")
    (root / "b.py").unlink()
    project(d="")
    assert [os.path.basename(path) for path in changes(before, snapshot([root]))] == ["a.py", "b.py", "d.py"]


def test_a_touched_file_counts(project: Project) -> None:
    root = project(a="")
    before = snapshot([root])
    os.utime(root / "a.py", ns=(1, 1))
    assert len(changes(before, snapshot([root]))) == 1


def test_a_link_to_a_folder_above_does_not_go_round_for_ever(project: Project) -> None:
    root = project(a="")
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert names(root) == {"a.py"}


def test_watches_a_package_that_lies_elsewhere(project: Project) -> None:
    root = project({"code/celeriac_reload_proj/__init__.py": "", "work/x.py": ""})
    os.chdir(root / "work")
    import sys

    sys.path.insert(0, str(root / "code"))
    assert watched_roots("celeriac_reload_proj.tasks:app") == [
        root / "work",
        (root / "code/celeriac_reload_proj").resolve(),
    ]


def test_watches_the_working_directory_once(project: Project) -> None:
    root = project({"proj/__init__.py": ""})
    assert watched_roots("proj") == [root]
    assert watched_roots("no_such_project") == [root]
