"""Workers, roles and remote commands on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.brokers.postgres.operations.calls import Asking
from celeriac.brokers.postgres.operations.rows import blobs, text, texts
from celeriac.brokers.rules import REPLY_TTL, opened_command, opened_reply
from celeriac.brokers.sql.requests import SqlOperation

_encode: Final = msgspec.msgpack.Encoder().encode


class ControlOperations(Asking):
    """Workers, roles, remote commands."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> SqlOperation[None]:
        yield self._calls.write("heartbeat", text(worker.name), float(ttl), _encode(worker))

    def forget(self, name: str, owners: Sequence[str]) -> SqlOperation[None]:
        yield self._calls.call("forget", text(name), texts(owners))

    def elect(self, role: str, holder: str, ttl: float) -> SqlOperation[bool]:
        (((won,),),) = yield self._calls.call("elect", text(role), text(holder), float(ttl))
        return bool(won)

    def resign(self, role: str, holder: str) -> SqlOperation[None]:
        yield self._calls.write("resign", text(role), text(holder))

    def broadcast(self, command: Command) -> SqlOperation[None]:
        yield self._calls.call("broadcast", float(command.expires_in), _encode(command))

    def commands(self, after: int | None) -> SqlOperation[tuple[tuple[Command, ...], int]]:
        (rows,) = yield self._calls.read("commands", after)
        commands = (opened_command(record, seq) for _, seq, record in rows if seq is not None)
        return tuple([command for command in commands if command is not None]), rows[0][0]

    def reply(self, replies: Sequence[CommandReply]) -> SqlOperation[None]:
        if replies:
            ids = texts([reply.command_id for reply in replies])
            yield self._calls.call("reply", ids, REPLY_TTL, blobs([_encode(reply) for reply in replies]))

    def replies(self, command_id: str) -> SqlOperation[tuple[CommandReply, ...]]:
        (rows,) = yield self._calls.read("replies", text(command_id))
        replies = (opened_reply(record) for (record,) in rows)
        return tuple([one for one in replies if one is not None])
