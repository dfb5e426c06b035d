"""The three tasks: a thumbnail for each cover, a mosaic for each playlist, and a notice when it is new.

Tasks get names and paths, never pictures: a message stays small, and a task that runs again reads what is there then.
"""

from __future__ import annotations

import asyncio
import json

from PIL import Image

from examples.mosaic import pictures
from examples.mosaic.app import app, folder
from examples.mosaic.noted import NotedTask
from examples.mosaic.pictures import BrokenCover
from examples.mosaic.storage import DEVICES, StorageUnavailable, read_cover, write_whole


@app.task(
    base=NotedTask,
    autoretry_for=(StorageUnavailable,),  # Goes away: try again, a little later each time.
    retry_backoff=1,
    retry_backoff_max=4,
    max_retries=5,
    throws=(BrokenCover,),  # Does not go away, and is no fault of the program: fail without a traceback in the log.
)
def make_thumbnail(cover_path: str) -> str:
    """Make the thumbnail of an uploaded cover and return its file name."""
    thumbnail = pictures.make_thumbnail(read_cover(folder, cover_path))
    target = folder.thumbnail(cover_path)
    write_whole(target, pictures.encode_png(thumbnail))
    return target.name


@app.task(base=NotedTask)
def build_mosaic(playlist: str) -> int:
    """Build the playlist's mosaic from the thumbnails there are, and return their number."""
    thumbnails: list[Image.Image] = []
    for path in sorted(folder.thumbnails(playlist).glob("*.png")):
        with Image.open(path) as thumbnail:
            thumbnails.append(thumbnail.convert("RGB"))
    title = playlist.replace("-", " ").title()
    write_whole(folder.mosaic(playlist), pictures.encode_png(pictures.compose_mosaic(title, thumbnails)))
    return len(thumbnails)


@app.task(base=NotedTask)
async def notify_playlist(playlist: str, covers: int) -> int:
    """Tell every device of the playlist, all at once, that its mosaic is new; return how many were told."""

    async def tell(device: str) -> None:
        await asyncio.sleep(0.05)  # Stands for the way to the device and back.
        write_whole(folder.notice(playlist, device), json.dumps({"covers": covers}).encode())

    await asyncio.gather(*(tell(device) for device in DEVICES))
    return len(DEVICES)
