"""What supervisor and child say to each other over their pipe, as values.

Both ends belong to one installation and one moment, so pickling (which multiprocessing's connections do) is safe here.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from celeriac.core.message import Lease


class Ready(msgspec.Struct, frozen=True):
    """Child: I claim tasks."""


class Retire(msgspec.Struct, frozen=True):
    """Child: replace me; I have run my share or grown too big."""

    reason: str


class Fatal(msgspec.Struct, frozen=True):
    """Child: I cannot start or go on; this is why, and what ended here and is not settled."""

    error: str
    unsettled: tuple[Lease, ...] = ()


class Drain(msgspec.Struct, frozen=True):
    """Supervisor: stop claiming, give back, finish, exit."""


class Revoke(msgspec.Struct, frozen=True):
    """Supervisor: these tasks are revoked."""

    ids: tuple[str, ...]
    terminate: bool


class QueuesChanged(msgspec.Struct, frozen=True):
    """Supervisor: claim from these queues from now on."""

    queues: tuple[str, ...]


FromChild: TypeAlias = Ready | Retire | Fatal
ToChild: TypeAlias = Drain | Revoke | QueuesChanged
