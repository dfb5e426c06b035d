"""Draws the covers that the demo uploads.

A cover depends on its title and its seed only: the same pair gives the same picture, so a run can be repeated.
Pictures are drawn at twice their size and scaled down, which smooths the edges.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

COVER_SIZE: Final = 320
"""Width and height of a cover in pixels."""
_DRAWN_SIZE: Final = 2 * COVER_SIZE

_ADJECTIVES: Final = (
    "Amber", "Borrowed", "Cobalt", "Distant", "Electric", "Faded", "Golden", "Hollow", "Inner", "Jade", "Kinder",
    "Lunar", "Mellow", "Northern", "Open", "Paper", "Quiet", "Restless", "Silver", "Tidal", "Velvet", "Wild",
)  # fmt: skip
_NOUNS: Final = (
    "Avenue", "Bridge", "Circuit", "Daydream", "Echo", "Ferry", "Garden", "Harbour", "Island", "Journey", "Kites",
    "Lanterns", "Meadow", "Nocturne", "Orbit", "Parade", "Radio", "Signal", "Telescope", "Umbrella", "Voyage", "Waves",
)  # fmt: skip


class Palette(NamedTuple):
    """Colours of one cover: the two ends of the background, two for the shapes, one for the letters."""

    top: str
    bottom: str
    first: str
    second: str
    ink: str


_PALETTES: Final = (
    Palette("#1b1b3a", "#693668", "#f5a6a3", "#ffd9c0", "#fff4ea"),
    Palette("#f9d976", "#f39f86", "#d1495b", "#6b2737", "#40121d"),
    Palette("#0f2027", "#2c7873", "#6fb98f", "#ffd800", "#fdfdf0"),
    Palette("#e8f1f2", "#8fc1d4", "#1b6a8f", "#f2a65a", "#0b2d3f"),
    Palette("#2d1e2f", "#c7417b", "#f6a5c0", "#f8e16c", "#fff8f0"),
    Palette("#fdf0d5", "#e0c3a3", "#780000", "#003049", "#1d1d1d"),
    Palette("#10002b", "#5a189a", "#e0aaff", "#ff9e00", "#ffffff"),
    Palette("#d8f3dc", "#74c69d", "#1b4332", "#f4a261", "#081c15"),
    Palette("#03045e", "#0096c7", "#90e0ef", "#ffb703", "#f8fdff"),
    Palette("#3d348b", "#f18701", "#f7b801", "#f35b04", "#fffaf0"),
)


def make_title(rng: Random) -> str:
    """Return a title of two words."""
    return f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"


def draw_cover(title: str, seed: str) -> Image.Image:
    """Return the cover of ``title``: a gradient, one motif, the initials and the title."""
    rng = Random(seed)
    palette = rng.choice(_PALETTES)
    image = _gradient(palette, angle=rng.uniform(-50, 50))
    rng.choice(_MOTIFS)(image, rng, palette)
    _write_title(image, title, palette)
    return image.resize((COVER_SIZE, COVER_SIZE), Image.Resampling.LANCZOS)


def encode_jpeg(image: Image.Image) -> bytes:
    """Return ``image`` as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def damage(data: bytes) -> bytes:
    """Return the first half of ``data``: what an upload leaves that broke off on its way."""
    return data[: len(data) // 2]


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that comes with Pillow, ``size`` pixels high; the system's fonts play no part."""
    return ImageFont.load_default(size)


def _gradient(palette: Palette, angle: float) -> Image.Image:
    ramp = Image.linear_gradient("L").rotate(angle, Image.Resampling.BILINEAR)
    # The middle of the turned square: its corners would show the emptiness around the ramp.
    middle = ramp.crop((40, 40, 216, 216)).resize((_DRAWN_SIZE, _DRAWN_SIZE), Image.Resampling.BICUBIC)
    return ImageOps.colorize(middle, palette.top, palette.bottom, blackpoint=30, whitepoint=225)


def _pen(image: Image.Image) -> ImageDraw.ImageDraw:
    """Return a pen whose colours may be translucent."""
    return ImageDraw.Draw(image, "RGBA")


def _circle(pen: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: str) -> None:
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _sun(image: Image.Image, rng: Random, palette: Palette) -> None:
    """A setting sun, cut by stripes that grow towards the bottom."""
    pen = _pen(image)
    radius = _DRAWN_SIZE * rng.uniform(0.26, 0.34)
    x, y = _DRAWN_SIZE / 2, _DRAWN_SIZE * 0.4
    disc = Image.new("L", image.size, 0)
    cut = ImageDraw.Draw(disc)
    cut.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    stripes = rng.randint(4, 7)
    for stripe in range(stripes):
        top = y + radius * stripe / stripes
        cut.rectangle((0, top, _DRAWN_SIZE, top + radius * 0.02 * (stripe + 1)), fill=0)
    image.paste(palette.first, mask=disc)
    _circle(pen, (x + radius * rng.uniform(-1.2, 1.2), y - radius), radius * 0.18, palette.second)


def _rings(image: Image.Image, rng: Random, palette: Palette) -> None:
    """Rings around a point outside the middle, like a record."""
    pen = _pen(image)
    centre = (_DRAWN_SIZE * rng.uniform(0.2, 0.8), _DRAWN_SIZE * rng.uniform(0.15, 0.6))
    step = rng.randint(26, 40)
    for number in range(13, 0, -1):
        colour = (palette.first, palette.second)[number % 2]
        _circle(pen, centre, step * number, colour + ("b0" if number % 4 else "40"))


def _bars(image: Image.Image, rng: Random, palette: Palette) -> None:
    """Bars of an equaliser."""
    pen = _pen(image)
    count = rng.randint(7, 12)
    width = _DRAWN_SIZE / (count * 1.5 + 0.5)
    for number in range(count):
        left = width * (0.5 + 1.5 * number)
        wave = 0.5 + 0.5 * math.sin(number * rng.uniform(0.7, 1.1))
        top = _DRAWN_SIZE * (0.62 - 0.5 * wave)
        colour = palette.second if number % 3 == 0 else palette.first
        pen.rounded_rectangle((left, top, left + width, _DRAWN_SIZE * 0.7), width / 2, fill=colour + "dd")


def _hills(image: Image.Image, rng: Random, palette: Palette) -> None:
    """Layers of hills under a moon."""
    pen = _pen(image)
    _circle(pen, (_DRAWN_SIZE * rng.uniform(0.25, 0.75), _DRAWN_SIZE * 0.25), rng.uniform(50, 90), palette.second)
    for layer in range(4):
        base = _DRAWN_SIZE * (0.42 + 0.12 * layer)
        swing, pace, shift = rng.uniform(20, 60), rng.uniform(0.006, 0.014), rng.uniform(0, 6.28)
        ridge = [(float(x), base + swing * math.sin(x * pace + shift)) for x in range(0, _DRAWN_SIZE + 16, 16)]
        corners = [(float(_DRAWN_SIZE), float(_DRAWN_SIZE)), (0.0, float(_DRAWN_SIZE))]
        pen.polygon(ridge + corners, fill=palette.first + f"{70 + 40 * layer:02x}")


def _bubbles(image: Image.Image, rng: Random, palette: Palette) -> None:
    """Translucent circles that overlap."""
    pen = _pen(image)
    for _ in range(rng.randint(8, 14)):
        centre = (rng.uniform(0, _DRAWN_SIZE), rng.uniform(0, _DRAWN_SIZE * 0.75))
        _circle(pen, centre, rng.uniform(40, 150), rng.choice((palette.first, palette.second)) + "70")


def _shards(image: Image.Image, rng: Random, palette: Palette) -> None:
    """Triangles that fan out from one point."""
    pen = _pen(image)
    x, y = _DRAWN_SIZE * rng.uniform(0.3, 0.7), _DRAWN_SIZE * rng.uniform(0.3, 0.5)
    count = rng.randint(9, 15)
    for number in range(count):
        start = 2 * math.pi * number / count
        end = start + 2 * math.pi / count * rng.uniform(0.4, 0.8)
        reach = _DRAWN_SIZE * rng.uniform(0.3, 0.9)
        corners = [(x, y)] + [(x + reach * math.cos(turn), y + reach * math.sin(turn)) for turn in (start, end)]
        pen.polygon(corners, fill=(palette.first, palette.second)[number % 2] + "a8")


_MOTIFS: Final[tuple[Callable[[Image.Image, Random, Palette], None], ...]] = (
    _sun,
    _rings,
    _bars,
    _hills,
    _bubbles,
    _shards,
)


def _write_title(image: Image.Image, title: str, palette: Palette) -> None:
    pen = _pen(image)
    initials = "".join(word[0] for word in title.split())
    margin = _DRAWN_SIZE * 0.06
    pen.text((margin, _DRAWN_SIZE * 0.9), initials, fill=palette.ink, font=font(150), anchor="ls")
    pen.text((_DRAWN_SIZE - margin, _DRAWN_SIZE * 0.9), title.upper(), fill=palette.ink, font=font(30), anchor="rs")
