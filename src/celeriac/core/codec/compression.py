"""Compression of bodies, under the MIME names that Celery's peers write.

Reading never yields more than the given bound, so that a small message cannot fill the memory of its reader.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from celeriac.errors import DecodeError, ImproperlyConfigured

MAX_BYTES: Final = 64 * 1024 * 1024
"""Default bound on what a compressed body may unfold to."""

GZIP: Final = "application/x-gzip"
BZIP2: Final = "application/x-bz2"
LZMA: Final = "application/x-lzma"
ZSTD: Final = "application/zstd"

COMPRESSIONS: Final[Mapping[str, str]] = {
    "gzip": GZIP,
    "zlib": GZIP,
    "bzip2": BZIP2,
    "bzip": BZIP2,
    "bz2": BZIP2,
    "lzma": LZMA,
    "xz": LZMA,
    "zstd": ZSTD,
    "zstandard": ZSTD,
}
"""Compression name to MIME type."""

# Both zlib streams, which senders mean by x-gzip, and gzip files, which the name says.
_ZLIB_OR_GZIP: Final = zlib.MAX_WBITS | 32
# Largest window that a zstd frame may ask for; what `zstd --ultra` writes needs 128 MiB.
_MAX_ZSTD_WINDOW: Final = 128 * 1024 * 1024
_MAX_LZMA_MEMORY: Final = 256 * 1024 * 1024
_ZSTD_MISSING: Final = "zstd compression needs the zstandard package: pip install 'celeriac[zstd]'"


class _TooLong(Exception):
    """The data unfolds to more than the bound."""


def _zstd_compress(data: bytes) -> bytes:
    try:
        import zstandard
    except ImportError as exc:
        raise ImproperlyConfigured(_ZSTD_MISSING) from exc
    return zstandard.ZstdCompressor().compress(data)


def _zlib_decompress(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    out = stream.decompress(data, limit + 1)
    if len(out) > limit:
        raise _TooLong
    if not stream.eof or stream.unused_data:
        raise ValueError("the stream ends too early or is followed by something else")
    return out


def _bz2_decompress(data: bytes, limit: int) -> bytes:
    return _drain(bz2.BZ2Decompressor(), data, limit)


def _lzma_decompress(data: bytes, limit: int) -> bytes:
    return _drain(lzma.LZMADecompressor(memlimit=_MAX_LZMA_MEMORY), data, limit)


def _drain(stream: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: bytes, limit: int) -> bytes:
    out = stream.decompress(data, limit + 1)
    if len(out) > limit:
        raise _TooLong
    if not stream.eof or stream.unused_data:
        raise ValueError("the stream ends too early or is followed by something else")
    return out


def _zstd_decompress(data: bytes, limit: int) -> bytes:
    try:
        import zstandard
    except ImportError as exc:
        raise DecodeError(_ZSTD_MISSING) from exc
    reader = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW).stream_reader(data, read_across_frames=False)
    with reader:
        out = reader.read(limit + 1)
    if len(out) > limit:
        raise _TooLong
    # A stream that is cut short reads like one that ends. Either the frame's header says how long it should have been,
    # or the (now known to be small) stream is read again by the interface that tells.
    expected = zstandard.frame_content_size(data)
    if expected < 0:
        again = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW).decompressobj()
        again.decompress(data)
        expected = len(out) if again.eof else -1
    if expected != len(out):
        raise ValueError("the stream ends too early")
    return out


_COMPRESS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    GZIP: zlib.compress,
    BZIP2: bz2.compress,
    LZMA: lzma.compress,
    ZSTD: _zstd_compress,
}
_DECOMPRESS: Final[Mapping[str, Callable[[bytes, int], bytes]]] = {
    GZIP: _zlib_decompress,
    BZIP2: _bz2_decompress,
    LZMA: _lzma_decompress,
    ZSTD: _zstd_decompress,
}


def compression_type(name: str) -> str:
    """Return the MIME type for a compression's name; a known MIME type is returned as it is.

    Raises:
        ImproperlyConfigured: There is no such compression.
    """
    found = COMPRESSIONS.get(name, name)
    if found not in _COMPRESS:
        raise ImproperlyConfigured(f"unknown compression {name!r}: choose one of {', '.join(COMPRESSIONS)}")
    return found


def compress(data: bytes, mime_type: str) -> bytes:
    """Return ``data``, compressed.

    Raises:
        ImproperlyConfigured: The library for it is not installed.
    """
    return _COMPRESS[mime_type](data)


def decompress(data: bytes, mime_type: str, *, limit: int = MAX_BYTES) -> bytes:
    """Return what ``data`` unfolds to.

    Args:
        data: One compressed stream.
        mime_type: As in the message; a short name such as ``zstd`` is understood too.
        limit: The most bytes to yield.

    Raises:
        DecodeError: The type is unknown, the data is damaged, or it would unfold to more than ``limit`` bytes.
    """
    work = _DECOMPRESS.get(COMPRESSIONS.get(mime_type, mime_type))
    if work is None:
        raise DecodeError(f"compression {mime_type[:80]!r} is unknown; known are {', '.join(_DECOMPRESS)}")
    try:
        return work(data, limit)
    except DecodeError:
        raise
    except _TooLong:
        raise DecodeError(f"the body unfolds to more than {limit} bytes, the bound for {mime_type}") from None
    except Exception as exc:  # each library has errors of its own, and they share no base
        raise DecodeError(f"the body is not a {mime_type} stream: {exc}") from exc
