"""Counts what a run did, and compares it with what was planned.

Pure but for :func:`mosaic_faults`, which opens pictures: the numbers come from the results and from the noted runs,
never from the plan; the plan only says what they must be.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image
from rich import box
from rich.table import Table

from examples.mosaic.pictures import TILE, BrokenCover, mosaic_size
from examples.mosaic.storage import DEVICES, Folder

if TYPE_CHECKING:
    from examples.mosaic.runs import Run
    from examples.mosaic.uploads import Plan


@dataclass(frozen=True, slots=True)
class Settled:
    """A task that is over, as its result tells.

    Args:
        task: Short name of the task.
        subject: The cover or playlist that it was for.
        state: The final state.
        value: What it returned, or the exception that it raised.
    """

    task: str
    subject: str
    state: str
    value: object

    @property
    def succeeded(self) -> bool:
        return self.state == "SUCCESS"

    @property
    def failed_on_purpose(self) -> bool:
        return self.state == "FAILURE" and isinstance(self.value, BrokenCover)


@dataclass(slots=True)
class Row:
    """One line of the table."""

    task: str
    tasks: int = 0
    succeeded: int = 0
    failed_on_purpose: int = 0
    failed: int = 0
    runs: int = 0
    retried: int = 0
    seconds: float = 0.0


def count(settled: Iterable[Settled], runs: Iterable[Run]) -> list[Row]:
    """Return one row for each task name, in order of appearance, and a last one with the totals."""
    rows: dict[str, Row] = {}
    total = Row("total")
    for item in settled:
        for row in (rows.setdefault(item.task, Row(item.task)), total):
            row.tasks += 1
            row.succeeded += item.succeeded
            row.failed_on_purpose += item.failed_on_purpose
            row.failed += not item.succeeded and not item.failed_on_purpose
    for run in runs:
        for row in (rows.setdefault(run.task, Row(run.task)), total):
            row.runs += 1
            row.retried += run.state == "RETRY"
            row.seconds += run.seconds
    return [*rows.values(), total]


def table(rows: Sequence[Row], processes: int, seconds: float) -> Table:
    """Return ``rows`` as a table; the last one is the total."""
    shown = Table(
        title="What the worker did",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=f"{rows[-1].tasks} tasks in {seconds:.1f} s by {processes} processes",
    )
    shown.add_column("task", no_wrap=True, min_width=max(len(row.task) for row in rows))
    for name in ("tasks", "succeeded", "failed\non purpose", "failed", "runs", "retried", "seconds"):
        shown.add_column(name, justify="right")
    for row in rows:
        if row is rows[-1]:
            shown.add_section()
        numbers = (row.tasks, row.succeeded, row.failed_on_purpose, row.failed, row.runs, row.retried)
        shown.add_row(row.task, *map(str, numbers), f"{row.seconds:.2f}")
    return shown


def faults(plan: Plan, settled: Sequence[Settled], runs: Sequence[Run], folder: Folder) -> list[str]:
    """Return a sentence for each thing that is not as planned; an empty list means that all is well."""
    return [
        *_thumbnail_faults(plan, settled, folder),
        *_retry_faults(plan, runs),
        *_playlist_faults(plan, settled, folder),
        *(fault for playlist in plan.playlists for fault in mosaic_faults(folder, playlist, plan)),
    ]


def _thumbnail_faults(plan: Plan, settled: Sequence[Settled], folder: Folder) -> list[str]:
    found: list[str] = []
    results = {item.subject: item for item in settled if item.task == "make_thumbnail"}
    for upload in plan.uploads:
        path, item = upload.cover_path, results.get(upload.cover_path)
        exists = folder.thumbnail(path).exists()
        if item is None:
            found.append(f"{path}: its thumbnail task never ended.")
        elif upload.damaged and (not item.failed_on_purpose or exists):
            found.append(f"{path}: the file is damaged, but its task ended as {item.state} ({item.value}).")
        elif not upload.damaged and not item.succeeded:
            found.append(f"{path}: no thumbnail; its task ended as {item.state} ({item.value}).")
        elif not upload.damaged and not exists:
            found.append(f"{path}: its task succeeded, but there is no thumbnail.")
    return found


def _retry_faults(plan: Plan, runs: Sequence[Run]) -> list[str]:
    planned = sum(upload.outages for upload in plan.uploads)
    counted = Counter(run.task for run in runs if run.state == "RETRY")
    if counted == Counter({"make_thumbnail": planned}):
        return []
    return [f"The storage failed {planned} times by plan, but the retries are {dict(counted)}."]


def _playlist_faults(plan: Plan, settled: Sequence[Settled], folder: Folder) -> list[str]:
    mosaics = [item for item in settled if item.task == "build_mosaic"]
    found = [
        f"{item.subject}: a mosaic task ended as {item.state} ({item.value})." for item in mosaics if not item.succeeded
    ]
    last = {item.subject: item.value for item in mosaics}
    told = {item.subject: item for item in settled if item.task == "notify_playlist"}
    for playlist in plan.playlists:
        covers, item = plan.sound_covers(playlist), told.get(playlist)
        if last.get(playlist) != covers:
            found.append(f"{playlist}: the last mosaic has {last.get(playlist)} covers, not {covers}.")
        if item is None or not item.succeeded:
            found.append(f"{playlist}: its devices were not told ({item.state if item else 'no such task ended'}).")
        elif (notices := _notices(folder, playlist)) != [covers] * len(DEVICES):
            found.append(f"{playlist}: its devices were told of {notices} covers, not {covers} each.")
    return found


def _notices(folder: Folder, playlist: str) -> list[int]:
    return [json.loads(path.read_text())["covers"] for path in sorted(folder.notices(playlist).glob("*.json"))]


def mosaic_faults(folder: Folder, playlist: str, plan: Plan) -> list[str]:
    """Return what is wrong with a playlist's mosaic."""
    path, size = folder.mosaic(playlist), mosaic_size(plan.sound_covers(playlist))
    try:
        with Image.open(path, formats=("PNG",)) as mosaic:
            mosaic.load()
            found = mosaic.size
    except (OSError, SyntaxError) as error:
        return [f"{path} is not a PNG file: {error}."]
    return [] if found == size else [f"{path} is {found} pixels, not {size} as its covers need (tiles of {TILE})."]
