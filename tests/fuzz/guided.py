"""Fuzz one reader by coverage, as long as you like: ``python -m tests.fuzz.guided "json body" [libFuzzer options]``.

It needs atheris (``pip install atheris``), which is no dependency of the tests: it has wheels for few platforms. What
breaks a reader is written to a file ``crash-...`` in the working directory, and read again with that file as argument.
Without a reader's name it lists them.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # pyright: ignore

with atheris.instrument_imports(include=["celeriac"]):  # pyright: ignore
    from tests.fuzz.readers import READERS

from tests.fuzz.oracle import watched


def main() -> None:
    """Take the reader's name from the command line and leave the rest to libFuzzer."""
    readers = {str(reader): reader for reader in READERS}
    if len(sys.argv) < 2 or sys.argv[1] not in readers:
        raise SystemExit("name one of: " + ", ".join(readers))
    reader = readers[sys.argv.pop(1)]
    for good in reader.good:
        with suppress(*reader.refuses):
            reader.read(good)  # Once before, so that what is imported late is imported.

    def read(data: bytes) -> None:
        for found in (data, *([reader.wrap(data)] if reader.wrap is not None else [])):
            with watched() as done, suppress(*reader.refuses):
                reader.read(found)
            assert not done, f"it did {done}"

    with tempfile.TemporaryDirectory(prefix="celeriac-fuzz-") as corpus:
        for number, good in enumerate(reader.good):
            Path(corpus, str(number)).write_bytes(good)
        atheris.Setup([*sys.argv, corpus], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
