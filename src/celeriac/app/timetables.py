"""Schedules under Celery's names: ``crontab``, ``schedule``, ``solar``, ``clocked``, ``rrule``.

Each holds a trigger of :mod:`celeriac.core.schedule`, which the scheduler goes by; asking one by hand with ``is_due``
goes by the same trigger.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.app.times import moment, seconds
from celeriac.core.clock import SYSTEM
from celeriac.core.schedule import Crontab, Interval, Once, Rule, Solar, Trigger
from celeriac.core.schedule.fields import FIELDS, Field, numbers
from celeriac.errors import InvalidTaskError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

ParseException: Final = InvalidTaskError
"""What is raised for a crontab that says nothing."""
_TRIGGERS: Final = (Interval, Crontab, Once, Solar, Rule)
_NEVER: Final = timedelta(days=366 * 100)


class schedstate(NamedTuple):
    """What ``is_due`` returns.

    Attributes:
        is_due: Whether it is due now.
        next: Seconds until it is worth asking again; None: it is never due again.
    """

    is_due: bool
    next: float | None


class BaseSchedule:
    """Something that says when it is due.

    Args:
        nowfun: Returns the time now; its time zone is that of the schedule. None: the app's clock and time zone.
        app: The app. None: UTC and the system's clock.
    """

    def __init__(
        self, trigger: Trigger, *, nowfun: Callable[[], datetime] | None = None, app: Celeriac | None = None
    ) -> None:
        self._trigger = trigger
        self.nowfun = nowfun
        self.app = app

    def trigger(self, zone: tzinfo) -> Trigger:
        """Return what the scheduler goes by, for an app in this time zone."""
        return self._trigger

    @property
    def tz(self) -> tzinfo:
        """Its time zone: that of ``nowfun``, else the app's, else UTC."""
        found = self.nowfun().tzinfo if self.nowfun is not None else None
        return found or (self.app.timezone if self.app is not None else UTC)

    @property
    def zone_name(self) -> str | None:
        """The name of the time zone of ``nowfun``; None if that says none.

        Raises:
            InvalidTaskError: It has no name, so that a store cannot keep it.
        """
        zone = self.nowfun().tzinfo if self.nowfun is not None else None
        if zone is None:
            return None
        name = getattr(zone, "key", None) or getattr(zone, "zone", None) or (zone == UTC and "UTC")
        if not name:
            raise InvalidTaskError(f"nowfun gives the time zone {zone!r}: it must be one with a name, a ZoneInfo")
        return str(name)

    def now(self) -> datetime:
        """Return the time now, with a time zone."""
        if self.nowfun is not None:
            return self.maybe_make_aware(self.nowfun())
        return datetime.fromtimestamp((self.app.clock if self.app is not None else SYSTEM).now(), self.tz)

    def maybe_make_aware(self, dt: datetime) -> datetime:
        """Return a datetime with a time zone; one without is read in that of the schedule."""
        return dt if dt.tzinfo is not None else dt.replace(tzinfo=self.tz)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether it is due, and the seconds until it is next.

        Args:
            last_run_at: When it last ran; without a time zone it is read in that of the schedule.
        """
        now = self.now().timestamp()
        due = self._after(self.maybe_make_aware(last_run_at).timestamp())
        if due is None or due > now:
            return schedstate(False, None if due is None else due - now)
        following = self._after(now)
        return schedstate(True, None if following is None else following - now)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long it is until it is due; below 0: it was due before; 100 years: it never is."""
        due = self._after(self.maybe_make_aware(last_run_at).timestamp())
        return _NEVER if due is None else timedelta(seconds=due - self.now().timestamp())

    def _after(self, at: float) -> float | None:
        zone = self.tz
        return self.trigger(zone).next_after(at, zone)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) | _BARE == vars(self) | _BARE

    def __hash__(self) -> int:
        return hash(self._trigger)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._trigger}>"


_BARE: Final[dict[str, Any]] = {"app": None, "nowfun": None}


class schedule(BaseSchedule):
    """Due every so often.

    Args:
        run_every: Seconds or timedelta.
        relative: Due at whole multiples of that, counted from a midnight of the time zone: every hour at the full hour.
        nowfun, app: See :class:`BaseSchedule`.

    Raises:
        InvalidTaskError: It is not more than 0.
    """

    def __init__(
        self,
        run_every: float | timedelta,
        relative: bool = False,
        nowfun: Callable[[], datetime] | None = None,
        app: Celeriac | None = None,
    ) -> None:
        self.seconds = seconds(run_every, "run_every")
        super().__init__(Interval(self.seconds), nowfun=nowfun, app=app)
        self.run_every = timedelta(seconds=self.seconds)
        self.relative = relative

    def trigger(self, zone: tzinfo) -> Trigger:
        """Return what the scheduler goes by, for an app in this time zone."""
        if not self.relative:
            return self._trigger
        return Interval(self.seconds, datetime(2024, 1, 1, tzinfo=zone).timestamp())


class crontab(BaseSchedule):
    """Due at the minutes that match all fields.

    Args:
        minute, hour, day_of_week, day_of_month, month_of_year: Text as cron has it (``*``, ``*/10``, ``1-5``,
            ``mon,fri``), a number, or several of them.
        nowfun, app: See :class:`BaseSchedule`.

    Raises:
        InvalidTaskError: A field says nothing, or no day ever matches.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celeriac | None = None,
    ) -> None:
        found = Crontab.of(
            minute=minute, hour=hour, day_of_month=day_of_month, month_of_year=month_of_year, day_of_week=day_of_week
        )
        super().__init__(found, nowfun=nowfun, app=app)
        said = {field.name: set(numbers(getattr(found, field.name), field)) for field in FIELDS}
        self.minute, self.hour = said["minute"], said["hour"]
        self.day_of_week, self.day_of_month = said["day_of_week"], said["day_of_month"]
        self.month_of_year = said["month_of_year"]

    @classmethod
    def from_string(cls, crontab: str) -> crontab:
        """Return the crontab that five fields in one text say: minute, hour, day of month, month, day of week.

        Raises:
            InvalidTaskError: There are not five, or one says nothing.
        """
        found = Crontab.parse(crontab)
        return cls(found.minute, found.hour, found.day_of_week, found.day_of_month, found.month_of_year)


class solar(BaseSchedule):
    """Due when the sun does something. Needs ``celeriac[solar]``.

    Args:
        event: ``sunrise``, ``sunset``, ``solar_noon``, or ``dawn_`` and ``dusk_`` with ``civil``, ``nautical`` and
            ``astronomical``.
        lat: Degrees; the north is positive.
        lon: Degrees; the east is positive.
        nowfun, app: See :class:`BaseSchedule`.

    Raises:
        InvalidTaskError: There is no such event or place.
        ImproperlyConfigured: The package astral is missing.
    """

    def __init__(
        self,
        event: str,
        lat: float,
        lon: float,
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celeriac | None = None,
    ) -> None:
        super().__init__(Solar(event, seconds(lat, "lat"), seconds(lon, "lon")), nowfun=nowfun, app=app)
        self.event, self.lat, self.lon = event, lat, lon


class clocked(BaseSchedule):
    """Due once.

    Args:
        clocked_time: When; without a time zone it is read in that of the schedule.
        nowfun, app: See :class:`BaseSchedule`.
    """

    def __init__(
        self, clocked_time: datetime, *, nowfun: Callable[[], datetime] | None = None, app: Celeriac | None = None
    ) -> None:
        super().__init__(Once(moment(clocked_time, UTC, "clocked_time")), nowfun=nowfun, app=app)
        self.clocked_time = clocked_time

    def trigger(self, zone: tzinfo) -> Trigger:
        """Return what the scheduler goes by, for an app in this time zone."""
        return Once(moment(self.clocked_time, zone, "clocked_time"))


class rrule(BaseSchedule):
    """Due as a rule of RFC 5545 says. Needs ``celeriac[rrule]``.

    Args:
        rule: Such as ``FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0``, or lines ``DTSTART:``, ``RRULE:``,
            ``EXDATE:`` and ``RDATE:``.
        dtstart: When it begins, as a clock in the time zone of the schedule shows it.
        nowfun, app: See :class:`BaseSchedule`.

    Raises:
        InvalidTaskError: It is no rule, or never due.
        ImproperlyConfigured: The package python-dateutil is missing.
    """

    def __init__(
        self,
        rule: str,
        dtstart: datetime | None = None,
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celeriac | None = None,
    ) -> None:
        super().__init__(Rule.parse(rule, dtstart), nowfun=nowfun, app=app)


class crontab_parser:
    """Reads fields of crontabs.

    Args:
        max_: How many numbers there are. With 7, names of days are read, with 12 those of months.
        min_: The first.
    """

    def __init__(self, max_: int = 60, min_: int = 0) -> None:
        names = next((field.names for field in FIELDS if len(field.names) == max_), ())
        name = "day_of_week" if (max_, min_) == (7, 0) else "field"
        self._field = Field(name, min_, min_ + max_ - 1, names)

    def parse(self, spec: str) -> set[int]:
        """Return the numbers that a field says.

        Raises:
            ParseException: It says none.
        """
        return set(numbers(spec, self._field))


def maybe_schedule(s: Any, relative: bool = False, app: Celeriac | None = None) -> Any:
    """Return a schedule: seconds and timedeltas as :class:`schedule`, text as :class:`crontab`, the rest as it is.

    Raises:
        InvalidTaskError: It is nothing of the kind.
    """
    if s is None:
        return None
    if isinstance(s, (int, float, timedelta)):
        return schedule(s, relative, app=app)
    if isinstance(s, str):
        s = crontab.from_string(s)
    elif isinstance(s, _TRIGGERS):
        s = BaseSchedule(s)
    if not isinstance(s, BaseSchedule):
        raise InvalidTaskError(
            f"schedule={s!r:.200} must be seconds, a timedelta, crontab(...) or another of celeriac.schedules"
        )
    if app is not None:
        s.app = app
    return s
