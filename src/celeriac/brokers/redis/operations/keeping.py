"""Keeping messages of one partition: what enqueueing, settling and workflows have in common."""

from __future__ import annotations

from collections.abc import Iterable

from celeriac.brokers.port import Sending
from celeriac.brokers.redis.operations.records import MAX_SCRIPT_BYTES, Runs, sending_args
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.core.message import Message


def enqueue_all(
    root: str, messages: Iterable[tuple[Message, bytes]], sending: Sending | None = None
) -> RedisOperation[set[str]]:
    """Keep messages of one partition, in as few scripts as their bytes allow; return the ids that were known."""
    known: set[str] = set()
    parts = [Runs()]
    for message, payload in messages:
        if parts[-1].count and parts[-1].size + len(payload) > MAX_SCRIPT_BYTES:
            parts.append(Runs())
        parts[-1].add(message, payload)
    for place, runs in enumerate(parts):
        args: list[Argument] = [*sending_args(None if sending is None else sending.part(place)), *runs.args]
        reply = yield Script("enqueue", (root,), args, repeatable=sending is not None)
        known.update(runs.ids() if reply is None else [id.decode() for id in reply])
    return known
