"""The page about the states says what the table says."""

import re

from celeriac.core.state import TRANSITIONS
from scripts import state_diagram


def test_the_committed_page_is_current() -> None:
    committed = state_diagram.PAGE.read_text(encoding="utf-8")
    assert committed == state_diagram.render(), "run `python -m scripts.state_diagram` and commit the page"
    assert state_diagram.main(["--check"]) == 0


def test_the_picture_has_every_row_of_the_table_and_no_other() -> None:
    drawn = {
        (origin.replace("[*]", ""), event): target
        for origin, target, events in re.findall(r"^    (\S+) --> (\S+): (.+)$", state_diagram.render(), re.MULTILINE)
        for event in events.split(", ")
    }
    assert drawn == TRANSITIONS
