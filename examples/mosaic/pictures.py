"""What the tasks do with pictures: make a thumbnail of a cover, lay thumbnails out as a mosaic.

Nothing here knows of tasks, files or folders: bytes and pictures go in, bytes and pictures come out.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageOps

from examples.mosaic.covers import font

TILE: Final = 120
"""Width and height of a thumbnail in pixels."""
_GAP: Final = 8
_MARGIN: Final = 20
_HEADER: Final = 60
_FEWEST_COLUMNS: Final = 3
_BACKGROUND: Final = "#14141c"
_EMPTY_TILE: Final = "#1f1f2b"


class BrokenCover(Exception):
    """The uploaded file is not a whole picture; trying again cannot help."""


def make_thumbnail(data: bytes) -> Image.Image:
    """Return the cover in ``data`` as a square picture of :data:`TILE` pixels.

    Raises:
        BrokenCover: ``data`` is not a picture, or a part of it is missing.
    """
    try:
        with Image.open(io.BytesIO(data)) as cover:
            return ImageOps.fit(cover.convert("RGB"), (TILE, TILE), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError) as error:  # Pillow reports broken files by these two.
        raise BrokenCover(str(error)) from error


def encode_png(image: Image.Image) -> bytes:
    """Return ``image`` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def mosaic_grid(count: int) -> tuple[int, int]:
    """Return columns and rows of the mosaic of ``count`` thumbnails, as near to a square as they allow."""
    columns = max(_FEWEST_COLUMNS, math.ceil(math.sqrt(count)))
    return columns, max(1, math.ceil(count / columns))


def mosaic_size(count: int) -> tuple[int, int]:
    """Return width and height in pixels of the mosaic of ``count`` thumbnails."""
    columns, rows = mosaic_grid(count)
    width = 2 * _MARGIN + columns * TILE + (columns - 1) * _GAP
    return width, _HEADER + _MARGIN + rows * TILE + (rows - 1) * _GAP


def compose_mosaic(title: str, thumbnails: Sequence[Image.Image]) -> Image.Image:
    """Return ``thumbnails`` row by row under ``title``; places left over in the last row stay dark."""
    columns, rows = mosaic_grid(len(thumbnails))
    mosaic = Image.new("RGB", mosaic_size(len(thumbnails)), _BACKGROUND)
    pen = ImageDraw.Draw(mosaic)
    pen.text((_MARGIN, _HEADER / 2), title, fill="#ffffff", font=font(24), anchor="lm")
    covers = "1 cover" if len(thumbnails) == 1 else f"{len(thumbnails)} covers"
    pen.text((mosaic.width - _MARGIN, _HEADER / 2), covers, fill="#8f8fa8", font=font(14), anchor="rm")
    mask = _rounded_mask()
    for place in range(columns * rows):
        row, column = divmod(place, columns)
        corner = (_MARGIN + column * (TILE + _GAP), _HEADER + row * (TILE + _GAP))
        if place < len(thumbnails):
            mosaic.paste(thumbnails[place], corner, mask)
        else:
            mosaic.paste(_EMPTY_TILE, (*corner, corner[0] + TILE, corner[1] + TILE), mask)
    return mosaic


def _rounded_mask() -> Image.Image:
    mask = Image.new("L", (2 * TILE, 2 * TILE), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 2 * TILE - 1, 2 * TILE - 1), 20, fill=255)
    return mask.resize((TILE, TILE), Image.Resampling.LANCZOS)
