"""Output: plain in a pipe, in full, and one unit or two for durations."""

from __future__ import annotations

import json

import pytest

from celeriac.cli.output import Output, duration


def test_a_pipe_gets_neither_colours_nor_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    long = "x" * 300
    out.line(long, "bold green")
    out.table(("name", "count"), [(long, 3), ("[red]b[/red]", None)], empty="none")
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert [line.split() for line in text.splitlines()] == [
        [long],
        ["name", "count"],
        [long, "3"],
        ["[red]b[/red]", "-"],
    ]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("a",), [], empty="Nothing here.")
    assert capsys.readouterr().out == "Nothing here.\n"


def test_fields_are_aligned_and_lines_kept(capsys: pytest.CaptureFixture[str]) -> None:
    Output().fields({"id": "7", "traceback": "a\nb", "left_out": None})
    assert capsys.readouterr().out.splitlines() == ["id:        7", "traceback: a", "           b"]


def test_json_says_what_it_cannot_say_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output().json({"a": {1}, "b": "ü"})
    assert json.loads(capsys.readouterr().out) == {"a": "{1}", "b": "ü"}


def test_quiet_writes_no_notes_and_still_errors(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(quiet=True)
    out.note("note")
    out.error("error")
    assert capsys.readouterr() == ("", "error\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0.04, "0.0s"),
        (59.94, "59.9s"),
        (60, "1m"),
        (200, "3m 20s"),
        (7200, "2h"),
        (7320, "2h 2m"),
        (190000, "2d 4h"),
    ],
)
def test_durations(seconds: float | None, text: str | None) -> None:
    assert duration(seconds) == text
