"""The folder that the web side and the worker share, and a storage that fails now and then.

``MOSAIC_DIR`` names the folder (default: ``out`` beside this file). The mosaics lie in it as ``<playlist>.png``;
everything else is in its ``mosaic-work`` folder, which each demo makes anew. Files appear whole or not at all: they
are written under another name first and renamed, so a mosaic never reads half a thumbnail.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEVICES: Final = ("phone", "tablet", "television", "car", "kitchen-speaker")
"""What shows a playlist and wants to know of its new mosaic."""
_MARKER: Final = ".made-by-the-mosaic-demo"


class StorageUnavailable(Exception):
    """The storage did not answer this time; trying again helps."""


class FolderInUse(Exception):
    """Another demo works in the folder, or what is in it was not put there by a demo."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything lies.

    Args:
        root: The output folder, absolute.
    """

    root: Path

    @property
    def work(self) -> Path:
        return self.root / "mosaic-work"

    @property
    def database(self) -> Path:
        """The file that holds the queue and the results."""
        return self.work / "celeriac.db"

    @property
    def health(self) -> Path:
        """The file that the worker makes when it is ready."""
        return self.work / "worker.health"

    @property
    def worker_log(self) -> Path:
        return self.work / "worker.log"

    @property
    def runs(self) -> Path:
        """The file with one line for each run of a task."""
        return self.work / "runs.jsonl"

    def cover(self, cover_path: str) -> Path:
        return self.work / "covers" / cover_path

    def thumbnails(self, playlist: str) -> Path:
        return self.work / "thumbnails" / playlist

    def thumbnail(self, cover_path: str) -> Path:
        return (self.work / "thumbnails" / cover_path).with_suffix(".png")

    def mosaic(self, playlist: str) -> Path:
        return self.root / f"{playlist}.png"

    def notices(self, playlist: str) -> Path:
        return self.work / "notices" / playlist

    def notice(self, playlist: str, device: str) -> Path:
        return self.notices(playlist) / f"{device}.json"

    def outages(self, cover_path: str) -> Path:
        """The file that says how often reading the cover will still fail."""
        return (self.work / "outages" / cover_path).with_suffix(".left")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other demos out of this folder while the block runs.

        Raises:
            FolderInUse: Another demo holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".mosaic-lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderInUse(
                    f"another demo works in {self.root}: wait for it, or set MOSAIC_DIR to another folder"
                ) from None
            yield

    def make_anew(self) -> None:
        """Make the work folder, without anything an earlier demo left in it.

        Raises:
            FolderInUse: A folder of that name exists, and no demo has made it; it is left as it is.
        """
        if self.work.exists():
            if not (self.work / _MARKER).exists():
                raise FolderInUse(f"{self.work} exists and was not made by this demo: set MOSAIC_DIR to another folder")
            shutil.rmtree(self.work)
        self.work.mkdir(parents=True)
        (self.work / _MARKER).touch()


def folder_from_environment() -> Folder:
    """Return the folder that ``MOSAIC_DIR`` names, or the default one."""
    named = os.environ.get("MOSAIC_DIR")
    return Folder(Path(named).absolute() if named else Path(__file__).parent.absolute() / "out")


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def plan_outages(folder: Folder, cover_path: str, count: int) -> None:
    """Make the next ``count`` attempts to read the cover fail."""
    write_whole(folder.outages(cover_path), str(count).encode())


def read_cover(folder: Folder, cover_path: str) -> bytes:
    """Return the bytes of an uploaded cover.

    Raises:
        StorageUnavailable: The storage is out for this cover; each attempt brings its return nearer.
    """
    outages = folder.outages(cover_path)
    if outages.exists():
        left = int(outages.read_bytes())
        if left > 0:
            write_whole(outages, str(left - 1).encode())
            raise StorageUnavailable(f"no answer from the storage for {cover_path}")
    return folder.cover(cover_path).read_bytes()
