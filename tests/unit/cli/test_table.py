"""The table of commands agrees with the commands; the banner says how tasks run."""

from __future__ import annotations

import pytest

from celeriac import Celeriac
from celeriac.cli.banner import banner, concurrency
from celeriac.cli.commands import COMMANDS, LATER, load
from celeriac.cli.output import Output
from celeriac.core.workflow import MEMBERS
from celeriac.worker.options import WorkerOptions


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    command = load(name)
    assert command is not None
    assert command.help
    assert [one.name for one in command.params if not getattr(one, "help", "") and one.param_type_name == "option"
            and not getattr(one, "hidden", False)] == []  # fmt: skip


def test_what_is_not_there_is_not_there_twice() -> None:
    assert not COMMANDS.keys() & LATER.keys()
    assert [load(name) for name in LATER] == [None] * len(LATER)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"processes": 4, "processes_max": 4}, "4 processes of one task at a time, 100 coroutines each (prefork)"),
        ({"processes": 1}, "1 process of one task at a time, 100 coroutines (prefork)"),
        ({"processes": 2, "processes_max": 8}, "2 to 8 processes of one task at a time, 100 coroutines each (prefork)"),
        (
            {"processes": 2, "processes_max": 2, "threads": 3},
            "2 processes, 3 threads each, 100 coroutines each (prefork)",
        ),
        ({"pool": "threads", "threads": 8}, "1 process, 8 threads, 100 coroutines (threads)"),
        ({"pool": "asyncio", "coroutines": 50}, "1 process, 1 thread, 50 coroutines (asyncio)"),
        ({"pool": "solo"}, "one task at a time in this process, 100 coroutines (solo)"),
    ],
)
def test_the_banner_says_how_tasks_run(shape: dict[str, object], words: str) -> None:
    options = {"target": "proj", "node": "w@h", "queues": ("celery",), **shape}
    assert concurrency(WorkerOptions(**options)) == words  # type: ignore[arg-type]


def test_the_banner_lists_the_tasks_that_users_defined(capsys: pytest.CaptureFixture[str]) -> None:
    app = Celeriac("bare", broker="memory://bare-banner", set_as_current=False)
    app.task(name="bare.work")(lambda: None)
    banner(Output(), app, WorkerOptions(target="bare", node="w@h", queues=("celery",)))
    shown = capsys.readouterr().out.partition("[tasks]")[2].split()
    assert "bare.work" in shown
    assert MEMBERS in app.tasks
    assert MEMBERS not in shown
