"""What the supervisor keeps of a child that has ended."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from celeriac.core.message import Lease
from celeriac.worker.children import Child
from celeriac.worker.slots import SlotTable


def test_table_of_an_ended_child_can_still_be_used_by_those_who_have_it(tmp_path: Path) -> None:
    """The keeper's threads may have asked for the children just before one was buried."""
    path = tmp_path / "slots"
    table = SlotTable(path, 2)
    table.occupy(0, Lease("a", "w", 1, 1), 1.0, 2.0)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=os.getpid)
    process.start()
    theirs.close()
    Child(process, ours, path, table, "w").close()
    table.note_lease(5.0)
    table.note_loss()
    assert (table.lease_until, [run.id for run in table.running()]) == (5.0, ["a"])
    assert list(tmp_path.iterdir()) == []
