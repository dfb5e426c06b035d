"""The notice board in memory: live workers, roles, senders, remote commands and the answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from celeriac.brokers.port import Command, CommandReply, Sending, WorkerRecord
from celeriac.brokers.rules import REPLY_TTL
from celeriac.core.clock import Clock

T = TypeVar("T")


class Board:
    """Everything on it has a time at which it is gone. Roles are few and stay, for the next holder to take over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._workers: dict[str, tuple[float, float, WorkerRecord]] = {}  # by name: expires, last heartbeat
        self._roles: dict[str, tuple[float, str]] = {}  # by role: expires, holder
        self._sendings: dict[str, tuple[float, int]] = {}  # by sender: expires, number
        self._commands: list[tuple[float, Command]] = []  # expires
        self._replies: list[tuple[float, CommandReply]] = []  # expires
        self._cursor = 0

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> None:
        """Keep the worker's record for ``ttl`` seconds."""
        now = self._clock.now()
        self._workers[worker.name] = (now + ttl, now, worker)

    def forget(self, name: str) -> None:
        """Drop the worker's record."""
        self._workers.pop(name, None)

    def workers(self) -> list[WorkerRecord]:
        """Return the live workers, sorted by name."""
        now = self._clock.now()
        live = [(seen, worker) for expires, seen, worker in self._workers.values() if expires > now]
        live.sort(key=lambda pair: pair[1].name)
        return [msgspec.structs.replace(worker, age=max(0.0, now - seen)) for seen, worker in live]

    def elect(self, role: str, holder: str, ttl: float) -> bool:
        """Take or keep the role; True if ``holder`` has it now."""
        now = self._clock.now()
        expires, current = self._roles.get(role, (now, holder))
        if current != holder and expires > now:
            return False
        self._roles[role] = (now + ttl, holder)
        return True

    def resign(self, role: str, holder: str) -> None:
        """Give the role up, if held."""
        if self._roles.get(role, (0.0, None))[1] == holder:
            del self._roles[role]

    def is_new(self, sending: Sending) -> bool:
        """Tell whether it was not here before, and remember it."""
        now = self._clock.now()
        expires, last = self._sendings.get(sending.sender, (now, 0))
        if expires > now and last >= sending.number:
            return False
        self._sendings[sending.sender] = (now + sending.memory, sending.number)
        return True

    def broadcast(self, command: Command) -> None:
        """Keep the command until it expires."""
        self._cursor += 1
        expires = self._clock.now() + command.expires_in
        self._commands.append((expires, msgspec.structs.replace(command, cursor=self._cursor)))

    def commands(self, after: int | None) -> tuple[tuple[Command, ...], int]:
        """Return the commands after the cursor, and the cursor to go on from."""
        if after is None:
            return (), self._cursor
        now = self._clock.now()
        new = (command for expires, command in self._commands if command.cursor > after and expires > now)
        return tuple(new), self._cursor

    def reply(self, replies: Sequence[CommandReply]) -> None:
        """Keep the answers for a while."""
        expires = self._clock.now() + REPLY_TTL
        self._replies.extend((expires, reply) for reply in replies)

    def replies(self, command_id: str) -> tuple[CommandReply, ...]:
        """Return the answers to the command so far."""
        now = self._clock.now()
        return tuple(reply for expires, reply in self._replies if expires > now and reply.command_id == command_id)

    def prune(self, limit: int) -> int:
        """Forget up to ``limit`` each of what has expired; return how many went."""
        now = self._clock.now()
        workers = [name for name, (expires, _, _) in self._workers.items() if expires <= now][:limit]
        for name in workers:
            del self._workers[name]
        senders = [sender for sender, (expires, _) in self._sendings.items() if expires <= now][:limit]
        for sender in senders:
            del self._sendings[sender]
        before = len(self._commands) + len(self._replies)
        self._commands = _unexpired(self._commands, now, limit)
        self._replies = _unexpired(self._replies, now, limit)
        return len(workers) + len(senders) + before - len(self._commands) - len(self._replies)


def _unexpired(items: Iterable[tuple[float, T]], now: float, limit: int) -> list[tuple[float, T]]:
    """Return the items without the first ``limit`` expired ones."""
    kept: list[tuple[float, T]] = []
    for expires, item in items:
        if expires <= now and limit > 0:
            limit -= 1
        else:
            kept.append((expires, item))
    return kept
