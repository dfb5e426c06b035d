"""Write docs/reference/settings.md from the table of settings, so that the page cannot say anything else than the code.

Usage: ``python -m scripts.settings_reference`` writes the page; with ``--check`` it only says whether the page is
current. A test does the same check. With ``--unread`` it lists the settings that are said to work although nothing in
``src`` reads them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from celeriac.core.settings_kinds import Setting
from celeriac.core.settings_table import SECTIONS, SETTINGS

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reference" / "settings.md"
SOURCE: Final = ROOT / "src" / "celeriac"

INTRODUCTION: Final = """\
# Settings

<!-- Written by scripts/settings_reference.py from src/celeriac/core/settings_table.py. Change the table there, then
     run `python -m scripts.settings_reference`. -->

Settings are attributes of `app.conf`. They keep Celery's names; those marked *new* are Celeriac's own. Set them in
code, or take them from a module, a class or a dictionary:

```python
app.conf.task_default_queue = "images"
app.conf.update(worker_concurrency=4, result_expires=timedelta(hours=1))
app.config_from_object("proj.settings", namespace="CELERY")  # reads CELERY_TASK_DEFAULT_QUEUE and so on
```

A wrong value is an error at once, and it names the setting. An unknown name is a warning with the nearest known one.
Wherever seconds are wanted, a `timedelta` is welcome. Names from before Celery 4, such as `CELERYD_CONCURRENCY`, are
understood with a warning that says the present name.
"""
ACCEPTED: Final = """\
# Accepted, without effect

These settings of Celery may be set, so that an existing configuration loads without a warning. They change nothing; the
last column says why.
"""


def render() -> str:
    """Return the page as text."""
    lines = [INTRODUCTION]
    for title, group in SECTIONS.items():
        working = [one for one in group if one.works]
        if working:
            lines += [f"## {title}", "", "| setting | value | default | |", "|---|---|---|---|"]
            lines += [_row(one, one.doc) for one in working]
            lines.append("")
    lines += [ACCEPTED.replace("# ", "## ", 1)]
    for title, group in SECTIONS.items():
        idle = [one for one in group if not one.works]
        if idle:
            heading = title.removesuffix(", accepted")
            lines += [
                f"### {heading}",
                "",
                "| setting | value | default | | why it has no effect |",
                "|---|---|---|---|---|",
            ]
            lines += [_row(one, f"{one.doc} | {one.note[0].upper()}{one.note[1:]}.") for one in idle]
            lines.append("")
    return "\n".join(lines)


def _row(setting: Setting, rest: str) -> str:
    name = f"`{setting.name}`" + (" *new*" if setting.own else "")
    return f"| {name} | {_kind(setting)} | {_default(setting.default)} | {rest} |"


def _kind(setting: Setting) -> str:
    kind = setting.kind.name.replace("|", "\\|")
    return f"{kind}, or None" if setting.nullable and setting.works and setting.default is not None else kind


def _default(value: object) -> str:
    if isinstance(value, float) and value >= 86400 and value % 86400 == 0:
        days = int(value / 86400)
        return f"`{value}` ({days} day{'s' if days > 1 else ''})"
    return f"`{value!r}`"


def unread() -> list[str]:
    """Return the settings that are said to work and that nothing in ``src`` but the table mentions."""
    own = {f"settings{part}.py" for part in ("", "_accepted", "_kinds", "_names", "_table")}
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name not in own)
    words = set(re.findall(r"\w+", text))
    return [one.name for one in SETTINGS.values() if one.works and one.name not in words]


def main(arguments: list[str]) -> int:
    """Write the page, check it, or list what is unread; return the exit status."""
    if arguments == ["--unread"]:
        print("\n".join(unread()))
        return 0
    page = render()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("docs/reference/settings.md is not what the table says: run `python -m scripts.settings_reference`")
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
