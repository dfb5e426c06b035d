"""Loggers for tasks, under Celery's name: ``from celeriac.utils.log import get_task_logger``.

They are ordinary loggers below ``celeriac.task``; the worker's log format shows the running task's name and id.
"""

from __future__ import annotations

import logging

__all__ = ["get_logger", "get_task_logger"]

_TASK = "celeriac.task"


def get_logger(name: str) -> logging.Logger:
    """Return the logger of this name."""
    return logging.getLogger(name)


def get_task_logger(name: str) -> logging.Logger:
    """Return a logger for task code, usually ``get_task_logger(__name__)``.

    What it logs goes where the worker's own lines about tasks go.

    Raises:
        ValueError: The name is that of the parent of all task loggers.
    """
    if name in (_TASK, "celery.task"):
        raise ValueError(f"{name!r} is the parent of all task loggers: use get_task_logger(__name__)")
    logger = logging.getLogger(name)
    if logger.parent is logging.root:
        logger.parent = logging.getLogger(_TASK)
    return logger
