"""``celeriac schedule``: every command, every field of an entry, good input and bad."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.cli.conftest import Celeriac

FIELDS = (
    "--cron", "0 6 * * mon", "-a", "[1, 2]", "-k", "{}", "--options", '{"queue": "q", "expires": 60}', "--description",
    "weekly", "--zone", "Asia/Tokyo", "--start", "2030-01-01T00:00:00+00:00", "--end", "2031-01-01T00:00:00+00:00",
    "--one-off", "--misfire", "all", "--window", "3600", "--overlap", "queue", "--jitter", "5", "--keep", "3",
)  # fmt: skip


def test_an_entry_with_every_field_from_its_making_to_its_end(celeriac: Celeriac) -> None:
    assert celeriac("schedule", "list").out == "There are no schedule entries.\n"
    assert celeriac("schedule", "add", "report", "proj.tasks.add", *FIELDS).out == "Added report.\n"
    shown = celeriac.json("schedule", "show", "report")
    # Monday at six in Tokyo is Sunday at 21:00 of UTC; the first of 2030 is on January 6.
    assert shown.pop("next_run") == "2030-01-06T21:00:00+00:00"
    assert shown == {
        "name": "report", "task": "proj.tasks.add", "trigger": "0 6 * * mon", "args": [1, 2], "kwargs": {},
        "options": {"queue": "q", "expires": 60}, "description": "weekly", "zone": "Asia/Tokyo", "start": 1893456000.0,
        "end": 1924992000.0, "enabled": True, "one_off": True, "misfire": "all", "window": 3600.0, "overlap": "queue",
        "jitter": 5.0, "keep": 3, "origin": "store", "last_run": None, "last_task_id": None, "last_state": None,
        "total_runs": 0, "missed": 0, "problem": None, "doubt": None,
    }  # fmt: skip
    assert re.search(
        r"^start: +(2029-12-31|2030-01-01) \d\d:", celeriac("schedule", "show", "report").out, re.MULTILINE
    )
    assert celeriac("schedule", "disable", "report").out == "Disabled report.\n"
    assert "disabled" in celeriac("schedule", "list").out
    assert celeriac("schedule", "enable", "report").out == "Enabled report.\n"
    words = ("--every", "60", "--task", "proj.tasks.nowhere", "--no-one-off", "--start", "2020-01-01")
    assert celeriac("schedule", "update", "report", *words).out == "Changed report.\n"
    (listed,) = celeriac.json("schedule", "list")
    assert (listed["trigger"], listed["one_off"], listed["keep"]) == ("every 60 s", False, 3)
    assert "is registered here" in listed["doubt"]
    assert "proj.tasks.nowhere (unknown)" in celeriac("schedule", "list").out

    unset = ("--unset", "zone", "--unset", "start", "--unset", "end", "--unset", "one-off", "--unset", "description")
    before = celeriac.json("schedule", "show", "report")
    assert celeriac("schedule", "update", "report", *unset, "--unset", "args").out == "Changed report.\n"
    changed = {**before, "zone": None, "start": None, "end": None, "description": "", "args": []}
    after = celeriac.json("schedule", "show", "report")
    assert {**after, "next_run": None} == {**changed, "next_run": None}
    celeriac("schedule", "update", "report", "-a", "[1, 2]", "--description", "weekly")

    assert celeriac("schedule", "history", "report").out == "report has not run yet.\n"
    sent = celeriac("schedule", "run", "report").out.strip()
    (run,) = celeriac.json("schedule", "history", "report")
    assert (run["task_id"], run["state"], run["log"]) == (sent, "PENDING", None)
    assert run.keys() == {"task_id", "due", "fired", "lateness", "state", "log"}
    assert sent in celeriac("schedule", "history", "report").out
    shown = celeriac.json("schedule", "show", "report")
    assert (shown["total_runs"], shown["last_task_id"], shown["last_state"]) == (1, sent, "PENDING")
    assert "weekly" in celeriac("schedule", "show", "report").out
    assert celeriac("schedule", "remove", "report", "other", code=1).out == "Removed 1 of 2.\n"
    assert celeriac("schedule", "list", "-j").out.strip() == "[]"


def test_a_page_of_entries(celeriac: Celeriac) -> None:
    for name in "dbca":
        celeriac("schedule", "add", name, "proj.tasks.add", "--every", "60", "-a", "[1]", "--disabled")
    names = [one["name"] for one in json.loads(celeriac("schedule", "list", "--after", "a", "-n", "2", "-j").out)]
    assert names == ["b", "c"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("add", "x", "proj.tasks.add"), "needs one of every=, cron=, at= and trigger="),
        (("add", "x", "proj.tasks.add", "--cron", "* * 31 2 *"), "it is never due"),
        (("add", "x", "proj.tasks.add", "--cron", "61 * * * *"), "minute='61'"),
        (("add", "x", "proj.tasks.add", "--every", "0"), "--every"),
        (("add", "x", "proj.tasks.add", "--every", "5", "--zone", "Mars/Base"), "there is no time zone 'Mars/Base'"),
        (("add", "x", "proj.tasks.add", "--every", "5", "-a", "1"), "must be a list"),
        (("add", "x", "proj.tasks.add", "--at", "soon"), "'soon' is no moment"),
        (("add", "x", "proj.tasks.add", "--at", "2001-01-01"), "is never due"),
        (("update", "x", "--every", "5"), "there is no schedule entry 'x'"),
        (("update", "x", "--unset", "task"), "'task' is not one of"),
        (("update", "x", "--zone", "UTC", "--unset", "zone"), "--zone and --unset zone say opposite things"),
        (("update", "x"), "nothing to change"),
        (("show", "x"), "there is no schedule entry 'x'"),
        (("run", "x"), "there is no schedule entry 'x'"),
        (("history", "x"), "there is no schedule entry 'x'"),
    ],
)
def test_bad_input_is_named(celeriac: Celeriac, words: tuple[str, ...], complaint: str) -> None:
    done = celeriac("schedule", *words, code=None)
    assert done.code in (1, 2)
    assert complaint in " ".join(done.err.split())
    assert celeriac.json("schedule", "list") == []
