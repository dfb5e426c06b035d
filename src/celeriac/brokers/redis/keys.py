"""What Celeriac keeps in Redis: the names of all keys, and what they hold. Pure.

A *partition* is everything whose keys have one hash tag, so that a Cluster keeps it in one slot and a script can change
all of it in one step. With one partition (the default) the tag is ``{celeriac}``; with four, ``{celeriac:0}`` to
``{celeriac:3}``, and a queue belongs to partition crc32(queue) mod 4. Below, ``T`` is the tag and a colon.

=================  ======  ========================================================================================
key                type    holds
=================  ======  ========================================================================================
``T m``            hash    task id -> header and packed message, from enqueue until it is settled for good
``T q:<queue>``    zset    task id -> place; what is ready
``T l:<queue>``    zset    task id -> place; what waits for its time
``T y:<queue>``    zset    task id -> place; what waits to be tried again
``T d``            zset    task id -> when it is due, in seconds since the epoch; all queues
``T dead:<queue>`` zset    task id -> place; dead letters
``T dead``         zset    task id -> when it died, in microseconds since the epoch; all queues
``T s``            hash    task id -> what is known of a message that waits or is dead and is not as it was sent
``T o:<owner>``    hash    task id -> token, place, header, and what is known: what the owner holds
``T leases``       zset    owner -> when its lease runs out, in microseconds since the epoch
``T ended``        zset    owner -> when a reclaim ended its lease; until it is told so, or for an hour
``T idle:<queue>`` zset    owner -> when it began to wait for the queue's messages, in microseconds; expires
``T pools``        set     numbers of pools
``T x:<pool>``     hash    as ``o``: what a limited reclaim left with an owner that has begun anew; the next frees it
``T c``            hash    task id -> expiry and result of a task that was cancelled while it was owned
``T queues``       set     names of queues that may have messages
``T owned``        hash    queue -> how many of its messages are owned
``T t``            hash    length of the state, state and task -> how many settlements there were
``T from:<name>``  string  number of the last call of enqueue of this sender; expires
``T n``            string  the last number given; see below
``T r:<id>``       string  ``1`` if the task is over or ``0``, and the packed result; expires with it
``T workers``      zset    worker -> when its record expires
``T worker``       hash    worker -> when it was seen last, and its packed record
``T role:<role>``  string  who has the role; expires
``T commands``     zset    expiry and packed remote command -> its cursor
``T reply:<id>``   list    packed answers to a command; expires
``T e``            hash    schedule entry -> what it says
``T e:s``          hash    schedule entry -> edition (16 digits), due or '', a NUL, and state
``T e:d``          zset    schedule entry -> when it is due, in seconds since the epoch
``T e:n``          zset    names of schedule entries, in their order
``T w:<id>``       hash    a workflow. ``record``, ``keep`` (milliseconds, once it is over), ``created``, ``ended``
                           (microseconds); of join n: ``zn`` its size, ``rn`` how many slots are empty, ``fn`` the slot
                           of the first failure, ``cn`` the slot that closed it, ``gn`` how often it was opened again,
                           ``kn`` how many messages wait, ``mn:i`` these; of its slot i: ``sn:i`` what lies there,
                           ``xn:i`` the message of a step that failed; ``q`` how many parts steps have added, ``qi``
                           the number n of the i-th, ``pn`` its record
``T workflows``    zset    workflow -> a number that grows with each
``T wover``        zset    workflow -> when it is forgotten, in milliseconds since the epoch
``T v``            string  version of all this
=================  ======  ========================================================================================

**Atomicity.** One script is one step. Every script derives its keys from ``KEYS[1]``, the hash of messages: a Cluster
allows keys that were not declared as long as they are in the same slot, which the tag sees to.

**Numbers.** ``n`` gives places, tokens and cursors. It follows the server's time in units of four microseconds since
2020 and never gives a number twice, also after FLUSHALL, a failover, or a crash that lost the last second: a token of
before can never match one of after. A place is (11 - priority) * 2^49 + number, so that ZPOPMIN gives the most urgent,
then the oldest; it is exact in a double, and has 16 digits until the year 2090.

**The hot path** touches few keys, each once per batch: enqueue ``m``, ``q``; claim ``q``, ``m``, ``o``; settle ``o``,
``m``, ``r``, ``t``. A message that is as it was sent has no entry in ``s``.

**A full server.** Each script that workers need to finish begins its writes with one that needs no memory. A server
that has reached ``maxmemory`` refuses commands that need memory until a script has written something, so it refuses
what is enqueued, whole, and lets what runs be settled.

**Wake-up.** A claim that finds nothing puts its owner into ``idle`` of its queues, in the same step; one that finds
something takes it out. Whatever makes n messages of a queue ready takes n owners out, the last one first, and publishes
on ``T wake:<owner>`` of each; one that nobody hears is gone, and does not count. A claim that leaves something wakes
one more, and so does a claim of 0, by which an owner says that it is not idle. ``T sooner`` is published when something
is due earlier than all else: each who waits keeps the time itself. ``T wake`` is for waiters without an owner:
published when a queue that was empty has something, with ``T sooner``, and for commands and their answers;
``T done:<id>`` when a result is stored. Nobody polls. With several partitions a claim is several steps, so nobody is
known as idle, and ``T wake`` wakes all.

**Handing over.** A message that is enqueued alone, into an empty queue for which an owner waits that holds nothing, is
leased to that owner in the same step and published whole on ``T hand:<owner>``: token (16 digits), length of the id (3
digits), id, and what ``m`` has. Only one that listens at this node is given anything, and only if it listens alone.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec

from celeriac.errors import ImproperlyConfigured

SCHEMA_VERSION: Final = 1
"""The version of the keys and their contents that this code reads and writes."""


class Keys(msgspec.Struct, frozen=True):
    """Where the keys of one broker are.

    Attributes:
        prefix: What they begin with, between braces.
        partitions: Over how many slots of a Cluster the queues are spread.

    Raises:
        ImproperlyConfigured: No slot could be told from this prefix, or there are no partitions.
    """

    prefix: str = "celeriac"
    partitions: int = 1

    def __post_init__(self) -> None:
        if not self.prefix or "{" in self.prefix or "}" in self.prefix:
            raise ImproperlyConfigured(f"the key prefix {self.prefix!r} must not be empty, nor contain {{ or }}")
        if self.partitions < 1:
            raise ImproperlyConfigured(f"there must be at least 1 partition, not {self.partitions}")

    def tag(self, partition: int) -> str:
        """Return what the keys of a partition begin with, without the colon."""
        return f"{{{self.prefix}}}" if self.partitions == 1 else f"{{{self.prefix}:{partition}}}"

    def root(self, partition: int) -> str:
        """Return the key that scripts of a partition are given."""
        return f"{self.tag(partition)}:m"

    def of_queue(self, queue: str) -> int:
        """Return the partition that a queue's messages are in."""
        return 0 if self.partitions == 1 else crc32(queue.encode()) % self.partitions

    def of_id(self, id: str) -> int:
        """Return the partition that a task's result is in."""
        return 0 if self.partitions == 1 else crc32(id.encode()) % self.partitions

    def wake_channels(self) -> tuple[str, ...]:
        """Return the channels on which it is told that there may be something new."""
        return tuple([f"{self.tag(partition)}:wake" for partition in range(self.partitions)])

    @property
    def wakes_one(self) -> bool:
        """Whether an owner may be woken alone: only where finding nothing, and being known for it, is one step."""
        return self.partitions == 1

    def owner_channels(self, owner: str) -> tuple[str, ...]:
        """Return the channels on which it is told that this owner should look."""
        if not self.wakes_one:
            return self.wake_channels()
        return f"{self.tag(0)}:wake:{owner}", f"{self.tag(0)}:sooner"

    def hand_channel(self, owner: str) -> str:
        """Return the channel on which messages are handed over to this owner."""
        return f"{self.tag(0)}:hand:{owner}"

    def done_channel(self, id: str) -> str:
        """Return the channel on which it is told that a task's result was stored."""
        return f"{self.tag(self.of_id(id))}:done:{id}"
