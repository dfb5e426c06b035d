"""Schedules, under Celery's name: ``from celeriac.schedules import crontab``."""

from celeriac.app.timetables import (
    BaseSchedule,
    ParseException,
    clocked,
    crontab,
    crontab_parser,
    maybe_schedule,
    rrule,
    schedstate,
    schedule,
    solar,
)

__all__ = [
    "BaseSchedule",
    "ParseException",
    "clocked",
    "crontab",
    "crontab_parser",
    "maybe_schedule",
    "rrule",
    "schedstate",
    "schedule",
    "solar",
]
