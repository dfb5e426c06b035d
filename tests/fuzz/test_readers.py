"""Every reader of a broker's bytes, on bytes that are meant to break it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.oracle import judge, watched
from tests.fuzz.readers import READERS, Reader

EXAMPLES: Final = int(os.environ.get("CELERIAC_FUZZ_EXAMPLES", "250"))
"""Examples of each reader; in CI few, by hand as many as you have patience for."""

each = pytest.mark.parametrize("reader", READERS, ids=str)


@each
def test_good_bytes_are_read(reader: Reader) -> None:
    for good in reader.good:
        with suppress(*reader.refuses):
            reader.read(good)  # Once before, so that what is imported late is imported.
        assert judge(reader.read, good, reader.refuses) == (reader.name != "pickle body")


@each
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_hostile_bytes_are_read_or_refused(reader: Reader, data: st.DataObject) -> None:
    judge(reader.read, reader.hostile(data.draw(st.randoms(use_true_random=False))), reader.refuses)


@each
def test_more_of_them(reader: Reader) -> None:
    """Without Hypothesis, which is slow: the seed is part of each failure."""
    for seed in range(EXAMPLES * 4):
        bad = reader.hostile(Random(f"{reader.name} {seed}"))
        try:
            judge(reader.read, bad, reader.refuses)
        except AssertionError as exc:
            raise AssertionError(f"seed {seed}: {exc}") from exc


def test_the_oracle_sees_what_a_reader_must_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    deeds = {
        "exec": lambda _: eval("1 + 1"),
        "open": lambda _: (tmp_path / "x").write_text("x"),
        "import": lambda _: __import__("colorsys"),
        "os.system": lambda _: os.system("true"),
    }
    for deed in deeds.values():
        with pytest.raises(AssertionError, match="it did"):
            judge(deed, b"", ())
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        judge(lambda _: 1 / 0, b"", (ValueError,))
    with watched() as done:
        pass
    assert not done
