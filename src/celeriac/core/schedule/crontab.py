"""Crontabs: five fields, as cron has them.

Around a change of the clock: a time that the clock leaves out comes as much later as it is put forward; a time that
comes twice is due the first time, unless every hour matches: then every matching minute that the clock shows is due.
"""

from __future__ import annotations

import math
from datetime import tzinfo
from typing import Any

import msgspec

from celeriac.core.schedule.fields import FIELDS, Sets, sets_of, text_of
from celeriac.core.schedule.wall import first_after, first_shown
from celeriac.errors import InvalidTaskError


class Crontab(msgspec.Struct, frozen=True, tag="crontab"):
    """Due at the minutes that match all fields.

    Attributes:
        minute, hour, day_of_month, month_of_year, day_of_week: As cron has them: ``*``, ``5``, ``1-5``, ``*/10``,
            ``mon,fri``; 0 and 7 are Sunday; a range may go over the end (``fri-mon``). Where both days are given, both
            must match.

    Raises:
        InvalidTaskError: A field says nothing, or no day ever matches.
    """

    minute: str = "*"
    hour: str = "*"
    day_of_month: str = "*"
    month_of_year: str = "*"
    day_of_week: str = "*"

    def __post_init__(self) -> None:
        self.sets()

    @classmethod
    def parse(cls, text: str) -> Crontab:
        """Return the crontab that five fields in one text say, such as ``*/5 8-18 * * mon-fri``.

        Raises:
            InvalidTaskError: There are not five, or one says nothing.
        """
        fields = text.split()
        if len(fields) != len(FIELDS):
            raise InvalidTaskError(
                f"crontab {text!r:.100} must have 5 fields, not {len(fields)}: minute hour day month weekday"
            )
        return cls(*fields)

    @classmethod
    def of(cls, **fields: Any) -> Crontab:
        """Return the crontab of fields that are text, numbers, or several of them.

        Raises:
            InvalidTaskError: A field says nothing, or no day ever matches.
        """
        return cls(**{name: text_of(value, name) for name, value in fields.items()})

    def sets(self) -> Sets:
        """Return the numbers that the fields say."""
        return sets_of(self.minute, self.hour, self.day_of_month, self.month_of_year, self.day_of_week)

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due."""
        sets = self.sets()
        # Due times are whole seconds: what is after the moment is after the second it is in.
        find = first_shown if sets.hourly else first_after
        try:
            found = find(sets.following, math.floor(moment), zone)
        except (OverflowError, ValueError):  # the end of the calendar
            return None
        return None if found is None else float(found)

    def __str__(self) -> str:
        return " ".join([self.minute, self.hour, self.day_of_month, self.month_of_year, self.day_of_week])
