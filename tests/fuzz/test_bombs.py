"""A few bytes that unfold to many are refused before they fill the memory, whichever way they are packed."""

from __future__ import annotations

import bz2
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import pytest
import zstandard

from celeriac.core.codec import accept_types, decode_args
from celeriac.core.codec.compression import MAX_BYTES
from celeriac.core.message import Message, pack, unpack
from celeriac.errors import DecodeError
from tests.fuzz.readers import ACCEPT, BZIP2, GZIP, LZMA, ZSTD

ACCEPTED = accept_types(ACCEPT)
UNFOLDED = MAX_BYTES + MAX_BYTES // 4
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    GZIP: zlib.compress,
    BZIP2: bz2.compress,
    LZMA: partial(lzma.compress, preset=0),
    ZSTD: zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("compression", PACKERS)
def test_a_compressed_bomb_is_refused_within_the_bound(compression: str) -> None:
    bomb = PACKERS[compression](b"[[" + b" " * UNFOLDED + b"],{},{}]")
    assert len(bomb) < UNFOLDED // 50
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="unfolds to more than"):
            decode_args(bomb, "application/json", compression=compression, accept=ACCEPTED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * MAX_BYTES, f"{peak / 2**20:.0f} MiB"


@pytest.mark.parametrize(
    "bomb",
    [
        *(head + b"\xff\xff\xff\xff" for head in (b"\xdd", b"\xdf", b"\xc6", b"\xdb")),
        b"\xdd\x00\x0f\xff\xff" * 100,
        b"\xdc\xff\xff" * 1000,
    ],
)
def test_a_length_that_is_not_there_is_not_made_room_for(bomb: bytes) -> None:
    message = pack(Message(id="a", task="t", headers={"x": 1})).replace(b"\xa1x\x01", b"\xa1x" + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            unpack(message)
        with pytest.raises(DecodeError):
            decode_args(bomb, "application/x-msgpack", "binary", accept=ACCEPTED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**26, f"{peak / 2**20:.0f} MiB"
