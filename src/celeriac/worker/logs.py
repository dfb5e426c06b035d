"""Logging of a worker process.

If nobody has configured logging, the root logger writes to stderr or to the log file, at the level asked for, so that
what tasks and libraries log is seen. A root logger (or a ``celeriac`` logger) that has handlers is never touched: its
handlers, format and level stay as the project set them. Lines that a task writes show its name and id.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

import msgspec

from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured
from celeriac.events import Bus, signals
from celeriac.events import log as event_log
from celeriac.events.lines import Gathering, GatheringFile
from celeriac.execution.context import current_request

_OWN: Final = ("celeriac.task", "celeriac.worker")
"""Loggers whose lines name the task by themselves, or are about none."""
_TASKS: Final = "celeriac.task"
_COLORS: Final = {logging.DEBUG: "34", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}


class LogStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How lines look; as the settings ``worker_log_format`` and so on have it.

    Attributes:
        format, datefmt: Of the worker's own lines.
        task_format, task_datefmt: Of lines that a task writes; may name ``task_name`` and ``task_id``.
        color: Colour by level; None means on a terminal, unless NO_COLOR is set.
    """

    format: str = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
    datefmt: str | None = None
    task_format: str = "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"
    task_datefmt: str | None = None
    color: bool | None = None


def style_of(settings: Settings) -> LogStyle:
    """Return the style that the settings ask for.

    Raises:
        ImproperlyConfigured: A format is not one of the standard library's.
    """
    style = LogStyle(
        format=settings.worker_log_format,
        datefmt=settings.worker_log_datefmt,
        task_format=settings.worker_task_log_format,
        task_datefmt=settings.worker_task_log_datefmt,
        color=settings.worker_log_color,
    )
    for name, form in (("worker_log_format", style.format), ("worker_task_log_format", style.task_format)):
        try:
            logging.Formatter(form)
        except ValueError as exc:
            raise ImproperlyConfigured(
                f"setting {name} = {form!r}: {exc}; write it as for logging.Formatter, with %(message)s in it"
            ) from exc
    return style


class Formatter(logging.Formatter):
    """Writes a line as the worker's own, or as that of the task that runs."""

    def __init__(self, style: LogStyle, *, color: bool) -> None:
        super().__init__(style.format, style.datefmt)
        self._task = logging.Formatter(style.task_format, style.task_datefmt)
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        request = None if record.name in _OWN else current_request.get()
        if request is None:
            text = super().format(record)
        else:
            record.task_name, record.task_id = request.task, request.id
            text = self._task.format(record)
        code = _COLORS.get(record.levelno) if self._color else None
        return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


def level_number(level: str) -> int:
    """Return the number of a level's name.

    Raises:
        ImproperlyConfigured: No such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ImproperlyConfigured(
            f"log level {level!r} (-l) is not known; choose DEBUG, INFO, WARNING, ERROR or CRITICAL"
        )
    return number


def check_writable(path: str) -> None:
    """See to it that a log file can be written.

    Raises:
        ImproperlyConfigured: It cannot.
    """
    try:
        with open(path, "ab"):
            pass
    except OSError as exc:
        raise ImproperlyConfigured(f"--logfile {path!r} cannot be written: {exc.strerror or exc}") from exc


def setup(level: str, logfile: str | None = None, style: LogStyle | None = None) -> None:
    """Send the log to stderr or a file, unless the project has configured logging itself.

    Args:
        level: Name of the lowest level that is written.
        logfile: Path; None means standard error.
        style: How lines look.

    Raises:
        ImproperlyConfigured: No such level.
        OSError: The file cannot be written.
    """
    root, logger = logging.getLogger(), logging.getLogger("celeriac")
    number, style = level_number(level), style or LogStyle()
    told = {"loglevel": number, "logfile": logfile, "format": style.format, "colorize": style.color}
    if signals.setup_logging.send(None, **told):
        return  # Whoever is connected does it instead.
    logger.setLevel(number)
    if not (root.handlers or logger.handlers):
        _add_handler(root, number, logfile, style)
    signals.after_setup_logger.send(None, logger=root, **told)
    told["format"] = style.task_format
    signals.after_setup_task_logger.send(None, logger=logging.getLogger(_TASKS), **told)


def _add_handler(root: logging.Logger, level: int, logfile: str | None, style: LogStyle) -> None:
    color = style.color
    if color is None:
        color = logfile is None and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    own = Formatter(style, color=color)
    handler = (
        GatheringFile(logfile, own=own, form=style.format)
        if logfile
        else Gathering(sys.stderr, own=own, form=style.format)
    )
    root.addHandler(handler)
    root.setLevel(level)


def subscribe(bus: Bus, *, gather: bool = False) -> None:
    """Log the events of this bus; ``gather`` as in :func:`celeriac.events.log.subscribe`."""
    event_log.subscribe(bus, gather=gather)
