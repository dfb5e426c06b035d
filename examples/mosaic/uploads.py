"""Decides who uploads what, and when: playlists, covers, bursts, and which covers are to go wrong.

Pure: the same numbers and the same seed give the same plan.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final

from examples.mosaic.covers import make_title

PLAYLISTS: Final[tuple[str, ...]] = (
    "night-drive", "slow-morning", "rain-on-tin", "first-snow", "long-way-home", "deep-focus", "summer-kitchen",
    "late-train", "coast-road", "sunday-paper", "rooftop-evening", "cold-water",
)  # fmt: skip
FEWEST_COVERS: Final = 12
_PLAYLISTS_PER_BURST: Final = 3
_COVERS_PER_PLAYLIST: Final = (3, 10)


@dataclass(frozen=True, slots=True)
class Upload:
    """One cover on its way into a playlist.

    Args:
        playlist: Name of the playlist.
        number: Place among the playlist's uploads, from 1.
        title: What is written on the cover.
        damaged: The upload breaks off half-way; its thumbnail must fail.
        outages: How many attempts to read it fail before one succeeds.
    """

    playlist: str
    number: int
    title: str
    damaged: bool = False
    outages: int = 0

    @property
    def cover_path(self) -> str:
        return f"{self.playlist}/{self.number:03d}.jpg"


@dataclass(frozen=True, slots=True)
class Plan:
    """All bursts, in order."""

    playlists: tuple[str, ...]
    bursts: tuple[tuple[Upload, ...], ...]

    @property
    def uploads(self) -> tuple[Upload, ...]:
        return tuple(upload for burst in self.bursts for upload in burst)

    def sound_covers(self, playlist: str) -> int:
        """Return how many of the playlist's covers arrive whole."""
        return sum(1 for upload in self.uploads if upload.playlist == playlist and not upload.damaged)


def plan_uploads(covers: int, playlists: int, seed: int) -> Plan:
    """Plan ``covers`` uploads into ``playlists`` playlists.

    About one cover in 25 is damaged, and the storage fails once or twice for about one in 12 others.

    Raises:
        ValueError: A number is out of range; the text says which range.
    """
    if not 1 <= playlists <= len(PLAYLISTS):
        raise ValueError(f"playlists must be 1 to {len(PLAYLISTS)}, not {playlists}")
    if covers < max(FEWEST_COVERS, playlists):
        raise ValueError(f"covers must be at least {max(FEWEST_COVERS, playlists)}, not {covers}")
    rng = Random(seed)
    names = PLAYLISTS[:playlists]
    faulty = rng.sample(range(covers), covers // 25 + 1 + covers // 12 + 1)
    damaged = set(faulty[: covers // 25 + 1])
    outages = {index: 1 + place % 2 for place, index in enumerate(faulty[len(damaged) :])}
    # Every playlist gets a cover; the others fall as they may.
    chosen = [*names, *(rng.choice(names) for _ in range(covers - playlists))]
    numbers: Counter[str] = Counter()
    waiting: dict[str, list[Upload]] = {name: [] for name in names}
    for index, playlist in enumerate(chosen):
        numbers[playlist] += 1
        upload = Upload(
            playlist, numbers[playlist], make_title(rng), damaged=index in damaged, outages=outages.get(index, 0)
        )
        waiting[playlist].append(upload)
    return Plan(names, tuple(_bursts(waiting, rng)))


def _bursts(waiting: dict[str, list[Upload]], rng: Random) -> list[tuple[Upload, ...]]:
    bursts: list[tuple[Upload, ...]] = []
    while open_playlists := [name for name, uploads in waiting.items() if uploads]:
        burst: list[Upload] = []
        for name in rng.sample(open_playlists, min(_PLAYLISTS_PER_BURST, len(open_playlists))):
            size = rng.randint(*_COVERS_PER_PLAYLIST)
            burst += waiting[name][:size]
            del waiting[name][:size]
        rng.shuffle(burst)
        bursts.append(tuple(burst))
    return bursts
