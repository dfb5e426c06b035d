"""Logging of a worker process.

Only the ``celeriac`` logger is configured, and only if nobody configured logging before: handlers on the root logger or
on ``celeriac`` are left alone, and so is the root logger's level.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from celeriac.errors import ImproperlyConfigured
from celeriac.events import Bus
from celeriac.events import log as event_log

FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"


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


def setup(level: str, logfile: str | None = None) -> None:
    """Send the log of Celeriac, and of tasks that use its task loggers, to stderr or a file."""
    logger = logging.getLogger("celeriac")
    logger.setLevel(level_number(level))
    if logging.getLogger().handlers or logger.handlers:
        return
    handler: logging.Handler = logging.FileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    logger.propagate = False


def subscribe(bus: Bus) -> None:
    """Log the events of this bus."""
    event_log.subscribe(bus)
