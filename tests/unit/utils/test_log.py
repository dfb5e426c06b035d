"""Loggers for task code."""

import logging

import pytest

from celeriac.utils.log import get_logger, get_task_logger


def test_a_task_logger_is_below_the_loggers_of_tasks() -> None:
    logger = get_task_logger("shop.orders.test_log")
    assert logger.name == "shop.orders.test_log"
    assert logger.parent is logging.getLogger("celeriac.task")
    assert get_task_logger("shop.orders.test_log") is logger


def test_a_logger_that_has_a_parent_keeps_it() -> None:
    parent = logging.getLogger("shop.own_test_log")
    assert get_task_logger("shop.own_test_log.tasks").parent is parent


def test_the_parent_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="get_task_logger"):
        get_task_logger("celeriac.task")


def test_other_loggers_are_ordinary() -> None:
    assert get_logger("shop.test_log") is logging.getLogger("shop.test_log")
