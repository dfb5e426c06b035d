"""From settings to keys: reads the files and variables that settings name.

They are read once, when the app is first used; who changes a key restarts its processes.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from celeriac.core.security import Guard, KeySource, key_bytes
from celeriac.core.settings import Settings
from celeriac.errors import CeleriacWarning, ImproperlyConfigured

SIGNING: Final = "security_signing_keys"
ENCRYPTION: Final = "security_encryption_keys"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LONGEST: Final = 4096


class Wanted(NamedTuple):
    """What the settings say about security."""

    signing: tuple[KeySource, ...]
    encryption: tuple[KeySource, ...]
    required: bool
    window: float | None


def wanted(conf: Settings) -> Wanted:
    """Return what the settings say about security."""
    return Wanted(
        conf.security_signing_keys or (),
        conf.security_encryption_keys or (),
        conf.security_required,
        conf.security_replay_window,
    )


def make_guard(wanted: Wanted) -> Guard | None:
    """Return what seals and opens; None where there are no keys.

    Raises:
        ImproperlyConfigured: A key cannot be found or is none.
    """
    if not wanted.signing and not wanted.encryption:
        return None
    return Guard(
        signing=_ring(wanted.signing, SIGNING, exact=False),
        encryption=_ring(wanted.encryption, ENCRYPTION, exact=True),
        required=wanted.required,
        window=wanted.window,
    )


def _ring(sources: Sequence[KeySource], setting: str, *, exact: bool) -> dict[str, bytes]:
    return {one.id: key_bytes(one, _text(one, setting), setting=setting, exact=exact) for one in sources}


def _text(source: KeySource, setting: str) -> str:
    if source.kind == "value":
        return source.text
    what = f"setting {setting}: key {source.id!r}"
    if source.kind == "env":
        found = os.environ.get(source.text)
        if not found:
            raise ImproperlyConfigured(f"{what}: the environment variable {source.text} is not set")
        return found
    path = Path(source.text)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LONGEST)
    except (OSError, ValueError) as exc:  # ValueError: a path that no system takes
        why = getattr(exc, "strerror", None) or exc
        raise ImproperlyConfigured(f"{what}: the file {path} cannot be read: {why}") from exc
    if stat.S_ISREG(mode) and mode & _OTHERS & ~(stat.S_IRGRP | stat.S_IXGRP):
        warnings.warn(
            f"{what}: the file {path} is open to other users: chmod 600 {path}", CeleriacWarning, stacklevel=2
        )
    return data.decode("ascii", "replace")
