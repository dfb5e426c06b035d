"""Identifiers.

Task ids are UUIDs as Celery's are. Ids of messages that follow from another message are derived from it, so that the
same step done twice names the same message twice and a store can drop the second.
"""

from __future__ import annotations

import os
import uuid

MAX_ID_BYTES = 200
"""Longest task id in UTF-8 bytes: what a worker's slot table can hold."""

_FOLLOW_UP_NAMESPACE = uuid.UUID("6f1dd0c4-5b0a-5c53-9c55-3a3f5ee6a2f1")


def new_id() -> str:
    """Return a new random UUID (version 4) as text."""
    # uuid.uuid4() spends most of its time in UUID.__init__; the bits are set by hand (RFC 9562, section 5.4).
    value = bytearray(os.urandom(16))
    value[6] = (value[6] & 0x0F) | 0x40
    value[8] = (value[8] & 0x3F) | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def follow_up_id(parent_id: str, step: str) -> str:
    """Return the id of the message that ``step`` of task ``parent_id`` sends; the same for the same two."""
    return str(uuid.uuid5(_FOLLOW_UP_NAMESPACE, f"{parent_id}/{step}"))
