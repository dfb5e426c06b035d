"""The table of examples in the reference of schedules says what is so."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from celeriac.core.schedule import Crontab
from celeriac.core.schedule.solar import EVENTS
from tests.docs.pages import PROJECT

PAGE = (PROJECT / "docs" / "reference" / "schedules.md").read_text()


def rows() -> list[list[str]]:
    lines = PAGE.split("| crontab | zone | after | next |\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize(("cron", "zone_name", "after", "following"), rows())
def test_an_example_is_as_the_table_says(cron: str, zone_name: str, after: str, following: str) -> None:
    zone = ZoneInfo(zone_name)
    moment: float | None = datetime.fromisoformat(after).replace(tzinfo=zone).timestamp()
    for expected in following.split(", "):
        assert moment is not None
        moment = Crontab.parse(cron).next_after(moment, zone)
        assert moment is not None
        assert f"{datetime.fromtimestamp(moment, zone):%Y-%m-%d %H:%M}" == expected


def test_all_events_of_the_sun_are_told() -> None:
    assert len(rows()) > 10
    assert all(f"`{event}`" in PAGE for event in EVENTS)
