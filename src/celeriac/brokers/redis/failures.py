"""What a server's refusals mean for a broker, in words that say what to do."""

from __future__ import annotations

import re
from typing import Final

from celeriac.brokers.redis.requests import Refused
from celeriac.errors import BrokerError, CeleriacError, OperationalError, StoreCorrupt, StoreFull

# Before version 7 a refusal inside a script is wrapped: "ERR Error running script (...): @user_script: 1: -OOM ...".
_WRAPPED: Final = re.compile(r"^ERR .*@user_script:.*? -?(?P<code>[A-Z]{3,}) (?P<rest>.*)$", re.DOTALL)

PASSING: Final = frozenset({"LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "READONLY"})
"""Refusals of a server that may well accept the same in a moment; nothing was done."""

_LATER: Final = {
    "LOADING": "is starting and still reads its data from disk: wait, or look at its log",
    "BUSY": "is busy with a script that does not end: look at it with SLOWLOG and end it with SCRIPT KILL",
    "READONLY": (
        "is a replica, which takes no writes: name the master in the URL, or let Sentinels name it (sentinel://); after"
        " a failover, check that the name in the URL leads to the new master"
    ),
    "MASTERDOWN": "is a replica that has lost its master: check the master, or wait for the failover",
    "NOREPLICAS": "has too few replicas in step to take writes (min-replicas-to-write): check its replicas",
    "CLUSTERDOWN": (
        "cannot serve all slots of its Cluster: look at CLUSTER INFO and CLUSTER NODES; a failover takes about"
        " cluster-node-timeout"
    ),
    "TRYAGAIN": "moves the slot of these keys to another node: wait until that is done",
    "MISCONF": (
        "cannot write to its disk and so takes no writes: look at its log, at the free space and at the permissions of"
        " its directory"
    ),
}
_NEVER: Final = {
    "NOAUTH": "wants a password: put it into the URL, as in redis://:password@host:6379/0",
    "WRONGPASS": (
        "refused the user or the password: check both in the URL, where / @ : ? # are written %2F %40 %3A %3F %23"
    ),
    "NOPERM": (
        "does not let this user do that: its ACL needs +@read +@write +@scripting +@pubsub +@connection +time +info,"
        " and all keys and channels that begin with the prefix in braces, as in ~{celeriac* &{celeriac*"
    ),
    "CROSSSLOT": "found the keys of one script in several slots, which is an error in Celeriac",
    "MOVED": "is one node of a Cluster: write redis+cluster:// or add cluster=true to the URL",
    "ASK": "is one node of a Cluster: write redis+cluster:// or add cluster=true to the URL",
    "DENIED": "is in protected mode, which forbids other machines: give it a password and bind it to an address",
}


def code_of(refused: Refused) -> str:
    """Return the word with which a refusal begins, also inside a script's error."""
    return _parts(refused.text)[0]


def _parts(text: str) -> tuple[str, str]:
    wrapped = _WRAPPED.match(text)
    if wrapped is not None:
        return wrapped["code"], wrapped["rest"]
    code, _, rest = text.partition(" ")
    return code.removeprefix("-"), rest


def translate(refused: Refused, name: str) -> CeleriacError:
    """Return the error to raise for a refusal.

    Args:
        refused: What the server said.
        name: What to call the server; without a password.
    """
    code, _ = _parts(refused.text)
    said = refused.text[:300].rstrip(".")
    if code == "OOM":
        return StoreFull(
            f"the {name} has used up its memory (maxmemory): nothing was written; make room, raise maxmemory, or let"
            f" results expire sooner ({said})"
        )
    if code == "WRONGTYPE":
        return StoreCorrupt(
            f"the {name} holds something of another program at one of Celeriac's keys: give Celeriac a prefix of its"
            f" own (?prefix=...) or remove the key ({said})"
        )
    if "user executing the script can't" in said:  # As NOPERM, but for a command within a script.
        code = "NOPERM"
    if "unauthenticated" in said:  # What Redis 7 says to a long command of somebody who gave no password.
        code = "NOAUTH"
    if code in _LATER:
        return OperationalError(f"the {name} {_LATER[code]} ({said})")
    if code in _NEVER:
        return BrokerError(f"the {name} {_NEVER[code]} ({said})")
    if "invalid bulk length" in said or "invalid multibulk length" in said:
        return BrokerError(
            f"a message or result is too big for the {name} (proto-max-bulk-len): pass a reference to large data"
            f" instead ({said})"
        )
    if "max number of clients" in said:
        return OperationalError(
            f"the {name} has no room for more connections: raise maxclients, or look with CLIENT LIST for who has them"
            f" ({said})"
        )
    if "without any password configured" in said:
        return BrokerError(f"the {name} has no password, and the URL has one: remove it, or check the server")
    if "DB index is out of range" in said:
        return BrokerError(f"the {name} has no database of that number: check the end of the URL")
    return BrokerError(f"the {name} refused an operation: {said}")
