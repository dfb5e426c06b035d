"""AES-256-GCM, from the package ``cryptography``; imported only where an app has encryption keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celeriac.errors import ImproperlyConfigured

_MISSING = "setting security_encryption_keys needs the package cryptography: pip install 'celeriac[crypto]'"
# Each key here encrypts one thing only (see Guard), so the nonce need not differ from one to the next.
_NONCE = bytes(12)


class AesGcm:
    """Encrypts and decrypts under keys that are used once.

    Raises:
        ImproperlyConfigured: The package is not installed.
    """

    def __init__(self) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as exc:
            raise ImproperlyConfigured(_MISSING) from exc
        self._cipher: Callable[[bytes], Any] = AESGCM
        self._invalid = InvalidTag

    def encrypt(self, key: bytes, data: bytes, bound: bytes) -> bytes:
        """Return ``data``, encrypted, with a tag that also covers ``bound``."""
        sealed: bytes = self._cipher(key).encrypt(_NONCE, data, bound)
        return sealed

    def decrypt(self, key: bytes, data: bytes, bound: bytes) -> bytes | None:
        """Return what was encrypted; None if ``data`` or ``bound`` is not what it was."""
        try:
            opened: bytes = self._cipher(key).decrypt(_NONCE, data, bound)
        except (self._invalid, ValueError):
            return None
        return opened
