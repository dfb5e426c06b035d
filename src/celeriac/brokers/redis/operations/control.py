"""Workers, roles and remote commands on Redis: all of them are in the first partition, and expire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.brokers.rules import REPLY_TTL, opened_command, opened_reply, opened_worker

_encode: Final = msgspec.msgpack.Encoder().encode


class ControlOperations:
    """Workers, roles, remote commands."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._root = (keys.root(0),)

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> RedisOperation[None]:
        yield Script("heartbeat", self._root, (worker.name, _encode(worker), _millis(ttl)), repeatable=True)

    def forget(self, name: str, owners: Sequence[str]) -> RedisOperation[None]:
        for partition in range(self.keys.partitions):
            yield Script("forget", (self.keys.root(partition),), (name, *owners), repeatable=True)

    def workers(self) -> RedisOperation[list[WorkerRecord]]:
        reply = yield Script("workers", self._root, repeatable=True)
        pairs = zip(reply[::2], reply[1::2], strict=True)
        found = [opened_worker(record, age / 1e6) for record, age in pairs]
        return sorted([worker for worker in found if worker is not None], key=lambda worker: worker.name)

    def elect(self, role: str, holder: str, ttl: float) -> RedisOperation[bool]:
        reply = yield Script("elect", self._root, (role, holder, _millis(ttl)), repeatable=True)
        return bool(reply)

    def resign(self, role: str, holder: str) -> RedisOperation[None]:
        yield Script("resign", self._root, (role, holder), repeatable=True)

    def broadcast(self, command: Command) -> RedisOperation[None]:
        yield Script("broadcast", self._root, (_encode(command), _millis(command.expires_in)))

    def commands(self, after: int | None) -> RedisOperation[tuple[tuple[Command, ...], int]]:
        end, *new = yield Script("commands", self._root, ("" if after is None else after,), repeatable=True)
        pairs = zip(new[::2], new[1::2], strict=True)
        commands = (opened_command(record, int(float(cursor))) for record, cursor in pairs)
        return tuple([command for command in commands if command is not None]), int(end)

    def reply(self, replies: Sequence[CommandReply]) -> RedisOperation[None]:
        if replies:
            args: list[Argument] = [_millis(REPLY_TTL)]
            for reply in replies:
                args += (reply.command_id, _encode(reply))
            yield Script("reply", self._root, args)

    def replies(self, command_id: str) -> RedisOperation[tuple[CommandReply, ...]]:
        found = yield Script("replies", self._root, (command_id,), repeatable=True)
        replies = (opened_reply(record) for record in found)
        return tuple([reply for reply in replies if reply is not None])


def _millis(seconds: float) -> int:
    """Return a duration in milliseconds; one at least, since Redis expires nothing in no time."""
    return max(1, int(seconds * 1000))
