"""Signing and encrypting what travels through a broker: keys, and the guard that seals and opens.

Pure: keys are given, the time is given; nothing here reads a file, a variable or a clock.
"""

from celeriac.core.security.guard import COMMAND, ENTRY, MARK, MESSAGE, REPLY, RESULT, Guard, Subject
from celeriac.core.security.keys import KeyRing, KeySource, key_bytes, key_sources

__all__ = [
    "COMMAND",
    "ENTRY",
    "MARK",
    "MESSAGE",
    "REPLY",
    "RESULT",
    "Guard",
    "KeyRing",
    "KeySource",
    "Subject",
    "key_bytes",
    "key_sources",
]
