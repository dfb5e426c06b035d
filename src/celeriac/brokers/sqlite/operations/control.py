"""Workers, roles and remote commands on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.brokers.rules import REPLY_TTL, opened_command, opened_reply
from celeriac.brokers.sql.requests import Many, SqlOperation, Statement, Transaction, for_items
from celeriac.brokers.sqlite.queries import query

HEARTBEAT: Final = query("heartbeat")
FORGET: Final = query("forget")
FORGET_OWNERS: Final = query("forget_owners")
ELECT_LOOK: Final = query("elect_look")
ELECT: Final = query("elect")
RESIGN: Final = query("resign")
BROADCAST: Final = query("broadcast")
COMMANDS: Final = query("commands")
COMMANDS_END: Final = query("commands_end")
REPLY: Final = query("reply")
REPLIES: Final = query("replies")

_encode: Final = msgspec.msgpack.Encoder().encode


class ControlOperations:
    """Workers, roles, remote commands."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> SqlOperation[None]:
        yield Transaction((Statement(HEARTBEAT, (worker.name, ttl, _encode(worker))),))

    def forget(self, name: str, owners: Sequence[str]) -> SqlOperation[None]:
        steps = [Statement(FORGET, (name,))]
        if owners:
            steps.append(for_items(FORGET_OWNERS, owners))
        yield Transaction(steps)

    def elect(self, role: str, holder: str, ttl: float) -> SqlOperation[bool]:
        reply = yield Transaction((Statement(ELECT_LOOK, (role, holder)),), writes=False)
        if reply[0]:
            return False
        reply = yield Transaction((Statement(ELECT, (role, holder, ttl)),))
        return bool(reply[0])

    def resign(self, role: str, holder: str) -> SqlOperation[None]:
        yield Transaction((Statement(RESIGN, (role, holder)),))

    def broadcast(self, command: Command) -> SqlOperation[None]:
        yield Transaction((Statement(BROADCAST, (command.expires_in, _encode(command))),))

    def commands(self, after: int | None) -> SqlOperation[tuple[tuple[Command, ...], int]]:
        if after is None:
            reply = yield Transaction((Statement(COMMANDS_END),), writes=False)
            return (), reply[0][0][0]
        new, ((end,),) = yield Transaction((Statement(COMMANDS, (after,)), Statement(COMMANDS_END)), writes=False)
        commands = (opened_command(record, seq) for seq, record in new)
        return tuple([command for command in commands if command is not None]), end

    def reply(self, replies: Sequence[CommandReply]) -> SqlOperation[None]:
        if replies:
            yield Transaction((Many(REPLY, [(reply.command_id, REPLY_TTL, _encode(reply)) for reply in replies]),))

    def replies(self, command_id: str) -> SqlOperation[tuple[CommandReply, ...]]:
        reply = yield Transaction((Statement(REPLIES, (command_id,)),), writes=False)
        replies = (opened_reply(record) for (record,) in reply[0])
        return tuple([one for one in replies if one is not None])
