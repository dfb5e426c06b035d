"""The event loop of an engine: uvloop where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop."""
    return asyncio.new_event_loop() if uvloop is None else uvloop.new_event_loop()
