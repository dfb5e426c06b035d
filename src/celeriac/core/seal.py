"""The seal: what a message, result or remote command carries where an app has keys.

It stands alone because everything that travels has a place for one; what makes and checks seals is
:mod:`celeriac.core.security`.
"""

from __future__ import annotations

from typing import Final

import msgspec

SEALED_TYPE: Final = "application/x-celeriac-encrypted"
"""Content type of a body that is encrypted; what it was before is inside."""
LOCKED: Final = "it is encrypted, and this app has no security_encryption_keys to read it with"
"""What a reader without keys says of anything encrypted."""


class Seal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Says when something was sealed, by which keys, and proves it.

    Attributes:
        at: When, seconds since the epoch.
        nonce: 16 random bytes: no two seals have the same.
        signer: Id of the key that signed; None if nothing did.
        cipher: Id of the key that encrypted; None if nothing did.
        mac: HMAC-SHA256 over all the rest, where ``signer`` is given.
        version: Of the form; says all algorithms, so that none can be talked down.
    """

    at: float
    nonce: bytes
    signer: str | None = None
    cipher: str | None = None
    mac: bytes = b""
    version: int = 1


def is_locked(seal: Seal | None) -> bool:
    """Return whether what carries this seal is encrypted still: with the keys, it is read without its seal."""
    return seal is not None and seal.cipher is not None
