"""Fields of crontabs mean what they mean to Celery: compared with its parser over thousands of texts, bad ones too."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from celery.schedules import ParseException
from celery.schedules import crontab as their_crontab

from celeriac.errors import InvalidTaskError
from celeriac.schedules import crontab

FIELDS = {"minute": (0, 59), "hour": (0, 23), "day_of_week": (0, 6), "day_of_month": (1, 31), "month_of_year": (1, 12)}
NAMES = {
    "day_of_week": ["sun", "mon", "Tuesday", "WED", "thurs", "fri", "saturday"],
    "month_of_year": ["jan", "FEB", "March", "apr", "may", "june", "jul", "august", "sept", "oct", "nov", "december"],
}
HAND: dict[str, list[Any]] = {
    "minute": [
        *[
            " ",
            "*",
            "1,,2",
            ",",
            "-",
            "/",
            "*/",
            "/5",
            "1/",
            "1-",
            "-5",
            "1.5",
            "60",
            "0-59",
            "59-0",
            "30-10/10",
            "*,5",
            "5-5",
            "0/0",
            "x",
            "01",
            "*/60",
            "*/61",
            "*/0",
            "",
            "a-b",
        ],
        *(5, 60, -1, [1, 2], {3, 4}, (5,), range(3), None, 1.5, ["x"]),
    ],
    "day_of_week": [
        "fri-sun",
        "sat-sun",
        "sun-sat",
        "mon,",
        "su",
        "MON-FRI/2",
        "*/7",
        "6-0",
        "sat",
        "mon-fri,sun",
        "8",
        "-mon",
    ],
    "month_of_year": ["nov-feb", "0", "12-1", "dec-jan/1", "ja", "Sept", "13", "jan-dec", "*/13", "10-2/2", "0-3"],
}
HALF_READ = re.compile(r"[a-z]+/|[a-z]+-+/|--|-,|-$", re.IGNORECASE)
"""What Celery reads as if a part of it were not there."""


def number(field: str, rng: random.Random) -> str:
    low, high = FIELDS[field]
    if field in NAMES and rng.random() < 0.3:
        return rng.choice(NAMES[field])
    return str(rng.choice([low, high, rng.randint(low, high), rng.randint(low, high), rng.randint(low - 1, high + 1)]))


def part(field: str, rng: random.Random) -> str:
    step = rng.choice([1, 2, 3, 4, 5, 7, 10, 15, 60, 100, 0])
    one, other = number(field, rng), number(field, rng)
    return rng.choice(["*", f"*/{step}", one, f"{one}-{other}", f"{one}-{other}/{step}", f"{one}/{step}"])


def read(cls: Any, field: str, text: Any) -> set[int] | None:
    """Return the numbers; None: it is refused."""
    try:
        found: set[int] = getattr(cls(**{field: text}), field)
    except (InvalidTaskError, ParseException, ValueError, TypeError, AttributeError):
        return None
    return found


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_means_what_celery_takes_it_for(field: str) -> None:
    rng = random.Random(7)
    texts = [",".join([part(field, rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]) for _ in range(1000)]
    taken = 0
    for text in [*HAND.get(field, ()), *texts]:
        theirs, ours = read(their_crontab, field, text), read(crontab, field, text)
        if isinstance(text, str) and HALF_READ.search(text):
            continue
        if theirs is not None:
            taken += 1
            assert ours == theirs, (field, text)
        elif ours is not None:
            # A number with a step ("5/10", from 5 on) and 7 for Sunday are cron's, and Celery lacks them.
            assert re.search(r"(^|,)\d+/\d|(^|\D)7(\D|$)", str(text)), (field, text, ours)
    assert taken > 300


@pytest.mark.parametrize(
    ("field", "text", "ours", "theirs"),
    [
        ("day_of_week", "7", {0}, None),
        ("minute", " 1 - 3, 7 ", {1, 2, 3, 7}, None),
        ("minute", ["1-3", "7"], {1, 2, 3, 7}, None),
        ("minute", "50/5", {50, 55}, None),
        ("day_of_week", "mon/2", {1, 3, 5}, {1}),
        ("minute", "1-2-3", None, {1, 2}),
        ("minute", "*/20/3", None, {0, 20, 40}),
        ("minute", "+5", None, {5}),
        ("minute", "1_0", None, {10}),
        ("minute", [], None, set()),
        ("minute", True, None, {True}),
    ],
)
def test_the_differences_are_these(field: str, text: Any, ours: set[int] | None, theirs: set[int] | None) -> None:
    assert (read(crontab, field, text), read(their_crontab, field, text)) == (ours, theirs)
