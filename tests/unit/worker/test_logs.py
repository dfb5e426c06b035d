"""The worker's log lines: the task's name and id in those that a task writes, colours by level, levels by name."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured
from celeriac.execution.context import Request, current_request
from celeriac.worker.logs import Formatter, LogStyle, level_number, style_of


def line(formatter: logging.Formatter, name: str, level: int = logging.INFO) -> str:
    return formatter.format(logging.LogRecord(name, level, __file__, 1, "said %s", ("hello",), None))


PLAIN = LogStyle(format="%(levelname)s %(message)s", task_format="%(task_name)s[%(task_id)s] %(message)s")


def test_a_tasks_line_names_the_task_and_the_workers_own_does_not_twice() -> None:
    formatter = Formatter(PLAIN, color=False)
    assert line(formatter, "proj.tasks") == "INFO said hello"
    token = current_request.set(Request(id="7", task="proj.add"))
    try:
        assert line(formatter, "proj.tasks") == "proj.add[7] said hello"
        assert line(formatter, "celeriac.task.mine") == "proj.add[7] said hello"
        assert line(formatter, "celeriac.task") == "INFO said hello"
        assert line(formatter, "celeriac.worker") == "INFO said hello"
    finally:
        current_request.reset(token)


def test_colours_tell_levels_apart() -> None:
    formatter = Formatter(PLAIN, color=True)
    assert line(formatter, "x") == "INFO said hello"
    assert line(formatter, "x", logging.ERROR) == "\x1b[31mERROR said hello\x1b[0m"
    assert line(formatter, "x", logging.WARNING) == "\x1b[33mWARNING said hello\x1b[0m"


def test_the_style_is_what_the_settings_say() -> None:
    settings = Settings(worker_log_format="%(message)s!", worker_log_datefmt="%H", worker_log_color=False)
    style = style_of(settings)
    assert (style.format, style.datefmt, style.color) == ("%(message)s!", "%H", False)
    assert style_of(Settings()) == LogStyle()


@pytest.mark.parametrize("name", ["worker_log_format", "worker_task_log_format"])
def test_a_format_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"setting {name} = 'hello'"):
        style_of(Settings(**{name: "hello"}))


def test_levels_go_by_name() -> None:
    assert level_number("debug") == logging.DEBUG
    assert level_number("FATAL") == logging.CRITICAL
    with pytest.raises(ImproperlyConfigured, match="log level 'loud' "):
        level_number("loud")


SETUP = """
import logging, sys
{before}
from celeriac.worker.logs import setup
setup("INFO")
logging.getLogger("proj").info("plain line")
logging.getLogger("celeriac.worker").info("own line")
print(logging.getLogger().level, len(logging.getLogger().handlers), len(logging.getLogger("celeriac").handlers))
"""


def run_setup(before: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SETUP.format(before=before)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip(), done.stderr


def test_a_root_logger_that_nobody_configured_writes_what_tasks_log() -> None:
    told, logged = run_setup("")
    assert told == f"{logging.INFO} 1 0"
    assert "plain line" in logged
    assert logged.count("own line") == 1


def test_a_root_logger_that_is_configured_stays_as_it_is() -> None:
    told, logged = run_setup("logging.basicConfig(level=logging.ERROR, format='mine %(message)s')")
    assert told == f"{logging.ERROR} 1 0"
    assert "plain line" not in logged
    assert logged == "mine own line\n"
