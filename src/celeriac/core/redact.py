"""What must not be shown: in logs, on pages, in ``repr``.

Redaction errs on the side of hiding: a key that looks like a secret hides its value, whatever that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

HIDDEN: Final = "***"

_SECRET: Final = re.compile(
    r"passw|passphrase|secret|token|(api|private|access|signing|encryption)[-_]?key|credential|authorization|cookie"
    r"|session[-_]?id",
    re.IGNORECASE,
)
# user:password@ after the scheme, up to the last @ before the path. A password may itself hold an @ or a slash that
# its owner forgot to quote, so the match is greedy.
_LOGIN: Final = re.compile(r"(?P<scheme>[\w+.-]+://)(?P<user>[^:/?#\s]*):[^?#\s;]*@", re.ASCII)
# The same where the scheme was forgotten, in a setting that should be a URL.
_BARE_LOGIN: Final = re.compile(r"(?P<start>^|//)(?P<user>[^:/?#\s]*):[^?#\s;]*@", re.ASCII)
_URL_NAME: Final = re.compile(r"(url|backend)$", re.IGNORECASE)
_QUERY: Final = re.compile(r"(?P<key>[?&;](?:[^=&;#\s]*))=(?P<value>[^&;#\s]*)")


def is_secret(name: object) -> bool:
    """Return True for a key whose value must not be shown."""
    return isinstance(name, str) and _SECRET.search(name) is not None


def redact_url(url: str) -> str:
    """Return the URL (or several, separated by ``;``) with ``***`` for each password, also in its query."""

    def hide(match: re.Match[str]) -> str:
        return f"{match['key']}={HIDDEN}" if is_secret(match["key"]) else match[0]

    return _QUERY.sub(hide, _LOGIN.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", url))


def redact(value: Any, *, name: object = None) -> Any:
    """Return a copy of ``value`` that may be shown.

    Args:
        value: Anything; dictionaries, lists and tuples are looked into, and texts are treated as URLs if they are some.
        name: The key or setting that the value belongs to.
    """
    if is_secret(name):
        return value if value is None else HIDDEN
    if isinstance(value, str):
        schemeless = "://" not in value or value.startswith("://")
        if schemeless and isinstance(name, str) and _URL_NAME.search(name):
            value = _BARE_LOGIN.sub(rf"\g<start>\g<user>:{HIDDEN}@", value)
        return redact_url(value) if "://" in value else value
    if isinstance(value, Mapping):
        return {key: redact(item, name=key) for key, item in cast("Mapping[object, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        items = [redact(item) for item in cast("list[Any]", value)]
        return items if isinstance(value, list) else tuple(items)
    return value
