"""The one property of a message that operations need to read: its id. Pure.

A content header is class, weight, body size, flags, and then each property whose flag is set, in the order of the
specification.
"""

from __future__ import annotations

from typing import Final

_START: Final = 14
_SHORT, _TABLE, _OCTET = "short", "table", "octet"
# content-type, content-encoding, headers, delivery-mode, priority, correlation-id, reply-to, expiration, message-id
_BEFORE: Final = (_SHORT, _SHORT, _TABLE, _OCTET, _OCTET, _SHORT, _SHORT, _SHORT)
_MESSAGE_ID: Final = 0x0080


def told_id(head: bytes) -> str | None:
    """Return the message id of a content header; None if it has none, or cannot be read."""
    flags = int.from_bytes(head[12:14], "big")
    if not flags & _MESSAGE_ID:
        return None
    at = _START
    for place, kind in enumerate(_BEFORE):
        if not flags & (0x8000 >> place):
            continue
        if kind is _OCTET:
            at += 1
        elif kind is _TABLE:
            at += 4 + int.from_bytes(head[at : at + 4], "big")
        else:
            at += 1 + int.from_bytes(head[at : at + 1], "big")
    size = int.from_bytes(head[at : at + 1], "big")
    text = head[at + 1 : at + 1 + size]
    return text.decode("utf-8", "replace") if len(text) == size else None
