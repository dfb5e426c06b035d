"""Which node of a Cluster serves which slot. The rules are those of the Redis Cluster specification."""

from __future__ import annotations

from binascii import crc_hqx
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from celeriac.brokers.redis.location import Address

SLOTS: Final = 16384


@lru_cache(maxsize=4096)
def slot_of(key: str) -> int:
    """Return the slot of a key: that of the text in its first braces, if there is some."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key.encode(), 0) % SLOTS


class Slots(msgspec.Struct, frozen=True):
    """The masters by slot.

    Attributes:
        starts: First slots of ranges, in order.
        ends: Their last slots.
        masters: Who serves each range.
        moves: Slots that are known to be elsewhere by now.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    masters: tuple[Address, ...]
    moves: dict[int, Address] = {}

    @property
    def nodes(self) -> list[Address]:
        """All masters."""
        return list(dict.fromkeys([*self.masters, *self.moves.values()]))

    def node(self, slot: int) -> Address | None:
        """Return who serves a slot, or None."""
        if slot in self.moves:
            return self.moves[slot]
        place = bisect_right(self.starts, slot) - 1
        return self.masters[place] if place >= 0 and slot <= self.ends[place] else None

    def moved(self, slot: int, address: Address) -> Slots:
        """Return the same with one slot elsewhere."""
        return msgspec.structs.replace(self, moves={**self.moves, slot: address})


def slots_of(reply: Sequence[Any], asked: Address) -> Slots:
    """Return what the answer to CLUSTER SLOTS says.

    Args:
        reply: Ranges: first slot, last slot, master (host, port, ...), replicas.
        asked: Who answered; a node that does not know its own host leaves it out.
    """
    found = sorted((int(first), int(last), _address(master, asked)) for first, last, master, *_ in reply)
    return Slots(
        tuple(first for first, _, _ in found), tuple(last for _, last, _ in found), tuple(node for _, _, node in found)
    )


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = node[0].decode() if node[0] else ""
    return Address(asked.host if host in ("", "?") else host, int(node[1]))
