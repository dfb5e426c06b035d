"""The page about the settings says what the table says."""

import re

from celeriac.core.settings_table import SETTINGS
from scripts import settings_reference


def test_the_committed_page_is_current() -> None:
    committed = settings_reference.PAGE.read_text(encoding="utf-8")
    assert committed == settings_reference.render(), "run `python -m scripts.settings_reference` and commit the page"
    assert settings_reference.main(["--check"]) == 0


def test_the_page_has_every_setting_once() -> None:
    rows = re.findall(r"^\| `(\w+)`", settings_reference.render(), re.MULTILINE)
    assert sorted(rows) == sorted(SETTINGS)


def test_a_setting_that_is_said_to_work_is_read_somewhere() -> None:
    assert settings_reference.unread() == []
