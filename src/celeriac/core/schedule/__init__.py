"""When something is due: triggers, entries, and what is to become of an entry whose time has come. Pure.

Times are seconds since the epoch; a time zone says what a clock on the wall there shows.
"""

from celeriac.core.schedule.crontab import Crontab
from celeriac.core.schedule.entry import MISFIRES, OVERLAPS, Entry, Plan, plan
from celeriac.core.schedule.rule import Rule
from celeriac.core.schedule.solar import Solar
from celeriac.core.schedule.triggers import Interval, Once, Trigger, from_dict, to_dict

__all__ = [
    "MISFIRES",
    "OVERLAPS",
    "Crontab",
    "Entry",
    "Interval",
    "Once",
    "Plan",
    "Rule",
    "Solar",
    "Trigger",
    "from_dict",
    "plan",
    "to_dict",
]
