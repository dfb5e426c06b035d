"""The memory of what ran: a message is run under its seal until it is settled, and never again.

The broker's result store keeps one small mark for each settled message, under the seal's nonce, for as long as the
message would be young enough to be accepted. A message that is older than the window is refused without a mark, so
marks can expire.

A mark is written after the settlement. Were it written before, a worker that dies between the two would leave a message
that must run again and is refused. So a delivery that is repeated after a crash passes, and what was lost by the mark's
side (a worker that dies at that very moment) is that one copy of that one message could be run again.

Marks say:

- ``SPENT``: it was settled, retried under a new seal, or cancelled. No signature: whoever can forge it could as well
  remove the message.
- ``BURIED``: it is a dead letter. Whoever puts it back without the keys puts back what is refused.
- ``RENEWED``: somebody with the keys put it back, or published it from an outbox in which it had waited for long, at
  the time of this mark's seal, from when its age counts anew.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple

import msgspec

from celeriac.brokers.port import Operations, Record, Rep, Req
from celeriac.core import state
from celeriac.core.clock import Clock
from celeriac.core.message import Delivery, Lease, Message, Refusal, Settlement, StoredResult
from celeriac.core.operation import Operation
from celeriac.core.seal import Seal
from celeriac.core.security import MARK, MESSAGE, Guard
from celeriac.errors import CeleriacError, DecodeError, SecurityError

SPENT: Final = "SPENT"
BURIED: Final = "BURIED"
RENEWED: Final = "RENEWED"
TOLERANCE: Final = 300.0
"""Seconds by which the clocks of workers and store may differ; marks are kept so much longer."""
FRESH: Final = 0.1
"""The part of the window that may be over when a message is published from an outbox without a mark of its own."""
MOST_HELD: Final = 50_000
MOST_PENDING: Final = 10_000


class Held(NamedTuple):
    """The seal of a message that was delivered here, and until when it would be accepted."""

    nonce: bytes
    deadline: float


def mark_id(nonce: bytes) -> str:
    """Return under which id the result store keeps the mark of a seal."""
    return f"seal:{urlsafe_b64encode(nonce).decode().rstrip('=')}"


class ReplayMemory(Generic[Req, Rep]):
    """Remembers by the store, across all workers, which messages were settled.

    Args:
        inner: The driver's operations.
        guard: Opens and seals marks.
        clock: For the age of messages.
        window: Seconds; see :class:`celeriac.core.security.Guard`.
    """

    def __init__(self, inner: Operations[Req, Rep], guard: Guard, clock: Clock, window: float) -> None:
        self._inner = inner
        self._guard = guard
        self._clock = clock
        self._window = window
        self._held: dict[tuple[str, int], Held | None] = {}
        self._pending: dict[str, StoredResult] = {}

    # Deliveries.

    def hold(self, lease: Lease, held: Held | None) -> None:
        """Remember under which seal a message was delivered; None for one whose settlement needs no mark."""
        if len(self._held) >= MOST_HELD:
            # Runs whose lease was lost are never settled here. What is forgotten is looked up in the broker.
            del self._held[next(iter(self._held))]
        self._held[lease.id, lease.token] = held

    def deadline(self, message: Message, seal: Seal) -> float:
        """Return until when a message is accepted: the window counts from its seal, or from the end of its delay."""
        return max(seal.at, message.eta or 0.0) + self._window

    def judge(
        self, deliveries: Sequence[Delivery], seals: Sequence[Seal | None]
    ) -> Operation[Req, Rep, list[Delivery]]:
        """Return the deliveries, with a refusal for what was settled before, and for what is too old to tell.

        Args:
            deliveries: Opened; those with a refusal keep it.
            seals: Their seals; None where there is none to judge.
        """
        wanted = [mark_id(seal.nonce) for seal in seals if seal is not None]
        problem: str | None = None
        marks: dict[str, StoredResult] = {}
        if wanted:
            try:
                marks = yield from self._marks(wanted)
            except (CeleriacError, OSError) as exc:
                # They are leased to this process: raising would leave them with nobody.
                problem = f"whether it ran before cannot be told: {exc}"
        now = self._clock.now()
        judged: list[Delivery] = []
        for delivery, seal in zip(deliveries, seals, strict=True):
            if seal is None or delivery.message is None:
                self.hold(delivery.lease, None)
                judged.append(delivery)
                continue
            held = Held(seal.nonce, self.deadline(delivery.message, seal))
            refusal: Refusal | None
            if problem is not None:
                refusal = Refusal(problem, final=False)
            else:
                held, refusal = self._verdict(held, marks.get(mark_id(seal.nonce)), now)
            self.hold(delivery.lease, held if refusal is None else None)
            judged.append(delivery if refusal is None else msgspec.structs.replace(delivery, refusal=refusal))
        return judged

    def _verdict(self, held: Held, mark: StoredResult | None, now: float) -> tuple[Held, Refusal | None]:
        if mark is not None and mark.state == RENEWED:
            try:
                sealed_at = 0.0 if mark.seal is None else mark.seal.at
                if self._guard.open(MARK, mark).id != mark_id(held.nonce):
                    raise SecurityError("the mark is another message's")
            except SecurityError as exc:
                return held, Refusal(f"it was put back by somebody without this app's keys ({exc})")
            held = Held(held.nonce, max(held.deadline, sealed_at + self._window))
        elif mark is not None and mark.state == BURIED:
            return held, Refusal(
                "it is a dead letter that was put back by somebody without this app's keys; `celeriac dlq retry` with"
                " -A puts it back"
            )
        elif mark is not None:
            return held, Refusal("it was settled before, and this is a copy that was put back: it was replayed")
        if now > held.deadline:
            age = f"{now - held.deadline + self._window:.0f} s"
            return held, Refusal(
                f"it was sent {age} ago, longer than messages are told apart from copies of what ran"
                f" (setting security_replay_window={self._window:.0f})"
            )
        return held, None

    def _marks(self, ids: Sequence[str]) -> Operation[Req, Rep, dict[str, StoredResult]]:
        found: list[StoredResult] = []
        try:
            found += yield from self._inner.fetch(ids)
        except DecodeError:
            # Somebody wrote nonsense over one of them: it must not hold up the others.
            for one in ids:
                try:
                    found += yield from self._inner.fetch([one])
                except DecodeError:
                    found.append(StoredResult(id=one, state=SPENT))
        # A mark in the place of another is no mark of either; that it is there at all is reason enough to refuse.
        marks = {one.id: one for one in found}
        return {**marks, **{one: self._pending[one] for one in ids if one in self._pending}}

    # Settlements.

    def seals_of(self, settlements: Iterable[Settlement]) -> Operation[Req, Rep, dict[Lease, Held]]:
        """Return the seals of the messages that these settlements end or replace."""
        found: dict[Lease, Held] = {}
        unknown: list[Lease] = []
        for one in settlements:
            key = (one.lease.id, one.lease.token)
            if one.action == "release" and one.message is None:
                continue
            if key not in self._held:
                unknown.append(one.lease)
            elif (held := self._held[key]) is not None:
                found[one.lease] = held
        if unknown:
            # Delivered to another process, of which this one settles what is left.
            records = {one.id: one for one in (yield from self._inner.get([lease.id for lease in unknown]))}
            for lease in unknown:
                record = records.get(lease.id)
                if record is not None and record.token == lease.token and (held := self.held_of(record)) is not None:
                    found[lease] = held
        return found

    def held_of(self, record: Record) -> Held | None:
        """Return the seal of a message as it lies in the broker."""
        message = record.message
        if message is None or message.seal is None:
            return None
        return Held(message.seal.nonce, self.deadline(message, message.seal))

    def settled(
        self, settlements: Sequence[Settlement], seals: dict[Lease, Held], lost: Sequence[str]
    ) -> Operation[Req, Rep, None]:
        """Mark what was settled. What the store does not take now is written with the next."""
        for one in settlements:
            self._held.pop((one.lease.id, one.lease.token), None)
        gone = set(lost)
        records: dict[str, Record] = {}
        try:
            if gone:
                records = {one.id: one for one in (yield from self._inner.get(sorted(gone)))}
        except (CeleriacError, OSError):
            seals = {lease: held for lease, held in seals.items() if lease.id not in gone}
        marks: list[StoredResult] = []
        for one in settlements:
            held = seals.get(one.lease)
            if held is None:
                continue
            buried = one.action == "dead"
            if one.lease.id in gone:
                # Its reply may have been lost and this be the second try; or another has the message by now. Only
                # where the broker has no message under this seal can none be refused that must run.
                record = records.get(one.lease.id)
                same = record is not None and self.held_of(record) == held
                if same and (record is None or record.state != state.DEAD):
                    continue
            marks.append(self.mark(held, BURIED if buried else SPENT))
        yield from self.write(marks)

    def mark(self, held: Held, name: str) -> StoredResult:
        """Return a mark."""
        return StoredResult(id=mark_id(held.nonce), state=name, body=b"", expires=held.deadline + TOLERANCE)

    def write(self, marks: Iterable[StoredResult]) -> Operation[Req, Rep, None]:
        """Store marks, and those that could not be stored before."""
        self._pending.update({one.id: one for one in marks})
        while len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]
        batch = list(self._pending.values())[:500]
        if batch:
            try:
                yield from self._inner.store(batch)
            except (CeleriacError, OSError):
                return
            for one in batch:
                self._pending.pop(one.id, None)

    # What waited in an outbox.

    def publish(self, messages: Sequence[Message]) -> Operation[Req, Rep, None]:
        """Let the age of these messages count from now, where a good part of the window is over: they waited where this
        store could not know of them. One that is known to have ended stays as it is.

        Raises:
            CeleriacError: The store did not take it.
        """
        now = self._clock.now()
        aged = [
            message
            for message in messages
            if message.seal is not None
            and now > self.deadline(message, message.seal) - self._window * (1 - FRESH)
            and self._is_genuine(message)
        ]
        held = [Held(one.seal.nonce, self.deadline(one, one.seal)) for one in aged if one.seal is not None]
        if held:
            marks = yield from self._marks([mark_id(one.nonce) for one in held])
            ended = {id for id, mark in marks.items() if mark.state != RENEWED}
            yield from self._renewed([one for one in held if mark_id(one.nonce) not in ended], now)

    def _is_genuine(self, message: Message) -> bool:
        try:
            self._guard.open(MESSAGE, message)
        except SecurityError:
            return False
        return True

    # Dead letters that are put back.

    def renew(self, records: Sequence[Record]) -> Operation[Req, Rep, None]:
        """Let these messages be accepted again: dead letters that somebody with the keys puts back.

        Raises:
            CeleriacError: The store did not take it.
        """
        seals = [held for one in records if (held := self.held_of(one)) is not None]
        marks = yield from self._marks([mark_id(held.nonce) for held in seals])
        now = self._clock.now()
        spent = {id for id, mark in marks.items() if mark.state == SPENT}
        yield from self._renewed([held for held in seals if mark_id(held.nonce) not in spent], now)

    def _renewed(self, seals: Sequence[Held], now: float) -> Operation[Req, Rep, None]:
        marks: list[StoredResult] = []
        for held in seals:
            until = Held(held.nonce, max(held.deadline, now + self._window))
            marks.append(self._guard.seal(MARK, self.mark(until, RENEWED), now))
        if marks:
            yield from self._inner.store(marks)
