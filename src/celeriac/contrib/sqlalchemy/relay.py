"""The relay: brings the rows of an outbox to the broker, in the order of their ids, batch by batch.

A batch gets a number and is recorded in a transaction of its own; then it is published; then its rows go. Whoever comes
after a crash finds the recorded batch and publishes the same messages under the same number. The broker remembers it,
and keeps nothing twice, whether their tasks wait, run or are over.

One relay at a time leads. The leader counts up in its row; one that waits takes over when that count has stood still
for ``lease`` seconds by its own clock, so no two clocks are compared. Each take-over begins an epoch, and every write
of a relay is refused if it is of an earlier one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypedDict

import msgspec
from sqlalchemy import Connection, Executable, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from celeriac.app.transaction import OutboxState
from celeriac.brokers.port import MAX_BATCH, Sending
from celeriac.contrib.sqlalchemy.bounded import bounded
from celeriac.contrib.sqlalchemy.source import Source, away
from celeriac.contrib.sqlalchemy.tables import PUBLISHED, REFUSED, RELAY, WAITING
from celeriac.core.ids import new_id
from celeriac.core.message import Message, unpack
from celeriac.errors import CeleriacError, DecodeError, ImproperlyConfigured, OperationalError

_PRUNE_EVERY: Final = 10.0
_MEASURE_EVERY: Final = 2.0
_MEASURE_SHARE: Final = 20.0
"""Measuring reads every row that waits; it takes at most this part of the time."""
_LONGEST_ERROR: Final = 1000
_MEMORY: Final = 7 * 86400.0
"""Seconds for which the broker remembers the last batch: as long as all relays may be down after one was killed."""


class Batch(NamedTuple):
    """What is published in one step.

    Attributes:
        sender: The name of this outbox towards the broker; stays for ever.
        number: Greater than that of every batch before; the same if the batch is repeated.
        rows: Id and bytes of each message.
    """

    sender: str
    number: int
    rows: tuple[tuple[int, bytes], ...]


class RelayOptions(TypedDict, total=False):
    """What can be said of a relay; see :class:`Relay`."""

    batch: int
    lease: float
    interval: float
    keep_published: float


class _Superseded(Exception):
    """Another relay leads by now."""


class Relay:
    """A relay. Not to be shared between threads.

    Args:
        outbox: What it empties.
        holder: Its name, for people.
        batch: Most messages of one step, 1 to 500.
        lease: Seconds without a sign of life after which another relay takes over; at least 0.5.
        interval: Seconds between two looks at an empty outbox.
        keep_published: Seconds for which published rows are kept; 0 deletes them at once.

    Raises:
        ImproperlyConfigured: A number is out of range.
    """

    name = "outbox relay"

    def __init__(
        self,
        outbox: Source,
        holder: str,
        *,
        batch: int = 200,
        lease: float = 10.0,
        interval: float = 0.1,
        keep_published: float = 0.0,
    ) -> None:
        if not 1 <= batch <= MAX_BATCH:
            raise ImproperlyConfigured(f"batch={batch!r} of the outbox's relay must be 1 to {MAX_BATCH}")
        if lease < 0.5 or interval <= 0:
            raise ImproperlyConfigured(
                f"lease={lease!r} of the outbox's relay must be 0.5 s or more, and interval={interval!r} above 0"
            )
        if keep_published < 0:
            raise ImproperlyConfigured(f"keep_published={keep_published!r} of the outbox must be 0 or more seconds")
        self._outbox = outbox
        self._keep = keep_published
        self._holder = holder[:250]
        self._most = batch
        self._lease = lease
        self._interval = interval
        self._clock = outbox.app.clock
        self._epoch: int | None = None
        self._beat_at = 0.0
        self._seen: tuple[int, int] | None = None
        self._seen_at = 0.0
        self._singly = 0
        """So many messages are published one by one, to find the one that the broker refuses."""
        self._prune_at = 0.0
        self._state = OutboxState()
        self._measured_at = 0.0
        self._measure_at: float | None = None
        self._error: str | None = None
        self.longest_backoff = min(2.0, lease / 4)
        """Seconds; while the broker is away it goes on to tell that it lives."""

    @property
    def state(self) -> OutboxState:
        """How the outbox stood when it last looked, as old as it is now; with the error of its own latest try."""
        found = self._state
        since = 0.0 if self._measure_at is None else self._clock.monotonic() - self._measured_at
        return msgspec.structs.replace(
            found,
            oldest=found.oldest + since if found.waiting else 0.0,
            leader=self._holder if self.leads else found.leader,
            seen=0.0 if self.leads else None if found.seen is None else found.seen + since,
            error=self._error or (None if self.leads else found.error),
        )

    @property
    def leads(self) -> bool:
        """Whether it is the one that publishes, as far as it knows."""
        return self._epoch is not None

    def tick(self) -> float:
        """Publish one batch; return the seconds until the next call.

        Raises:
            OperationalError: The database or the broker is away; call again.
        """
        try:
            self._measure()
            return self._step()
        except Exception as exc:
            self._note(exc)
            raise

    def _measure(self) -> None:
        now = self._clock.monotonic()
        if self._measure_at is None or now >= self._measure_at:
            self._state = self._outbox.state()
            self._measured_at = self._clock.monotonic()
            self._measure_at = self._measured_at + max(_MEASURE_EVERY, _MEASURE_SHARE * (self._measured_at - now))

    def _step(self) -> float:
        try:
            if self._epoch is None and not self.lead():
                return min(self._interval, self._lease / 4)
            batch = self.take()
            if batch is None:
                self._error = None
                self._prune()
                return self._interval
            self._confirm()
            self.publish(batch)
            self._error = None
            self.finish(batch)
        except _Superseded:
            self._epoch = None
            return self._interval
        return 0.0

    def _note(self, exc: Exception) -> None:
        """Remember what went wrong, for others to see as far as the database can be written."""
        self._error = f"{type(exc).__name__}: {exc}"[:_LONGEST_ERROR]
        if self._epoch is None:
            return
        try:
            with self._connection() as connection:
                self._beat(connection)
        except _Superseded:
            self._epoch = None
        except OperationalError:
            pass  # The database itself is away.

    def close(self) -> None:
        """Stop leading, so that another relay need not wait for the end of the lease."""
        if self._epoch is None:
            return
        relay = self._outbox.tables.relay
        with self._connection() as connection:
            connection.execute(
                update(relay).where(relay.c.name == RELAY, relay.c.epoch == self._epoch).values(holder=None)
            )
        self._epoch = None

    # Leading.

    def lead(self) -> bool:
        """Try to become the leader; return whether it is one now."""
        relay = self._outbox.tables.relay
        now = self._clock.monotonic()
        rows = self._look(select(relay.c.epoch, relay.c.beats, relay.c.holder))
        if not rows:
            self._make_row()
            return False
        ((epoch, beats, holder),) = rows
        if holder is not None:
            if (epoch, beats) != self._seen:
                self._seen, self._seen_at = (epoch, beats), now
                return False
            if now - self._seen_at < self._lease:
                return False
        with self._connection() as connection:
            taken = connection.execute(
                update(relay)
                .where(relay.c.name == RELAY, relay.c.epoch == epoch, relay.c.beats == beats)
                .values(epoch=epoch + 1, beats=beats + 1, holder=self._holder, seen=self._clock.now(), error=None)
            )
        if taken.rowcount != 1:
            return False
        self._epoch, self._beat_at, self._seen = epoch + 1, now, None
        return True

    def _make_row(self) -> None:
        made = insert(self._outbox.tables.relay).values(
            name=RELAY, sender=f"outbox-{new_id()}", epoch=0, beats=0, number=0, holder=None
        )
        try:
            with self._outbox.engine.begin() as connection:
                connection.execute(made)
        except IntegrityError:
            return  # Another relay was quicker.
        except SQLAlchemyError as exc:
            raise away(exc) from exc

    def _beat(self, connection: Connection) -> None:
        """Tell that this relay lives, in the transaction of whatever it writes; hold its row until the commit."""
        relay = self._outbox.tables.relay
        now = self._clock.monotonic()
        beaten = connection.execute(
            update(relay)
            .where(relay.c.name == RELAY, relay.c.epoch == self._epoch)
            .values(beats=relay.c.beats + 1, holder=self._holder, seen=self._clock.now(), error=self._error)
        )
        if beaten.rowcount != 1:
            raise _Superseded
        self._beat_at = now

    def _confirm(self) -> None:
        """Make sure that this relay still leads, if it was held up for long."""
        if self._clock.monotonic() - self._beat_at > self._lease / 2:
            with self._connection() as connection:
                self._beat(connection)

    # The steps of a batch.

    def take(self) -> Batch | None:
        """Return the batch that is recorded and not finished; else record the next; None if no message waits."""
        messages, relay = self._outbox.tables.messages, self._outbox.tables.relay
        waiting = messages.c.state == WAITING
        found = self._look(select(messages.c.id).where(waiting).limit(1))
        if not found and self._clock.monotonic() - self._beat_at < self._lease / 4:
            return None
        with self._connection() as connection:
            self._beat(connection)
            sender, number = connection.execute(select(relay.c.sender, relay.c.number)).one()
            rows = self._rows(connection, number)
            if not rows:
                most = 1 if self._singly else self._most
                ids = connection.scalars(select(messages.c.id).where(waiting).order_by(messages.c.id).limit(most)).all()
                if not ids:
                    return None
                number += 1
                connection.execute(update(relay).where(relay.c.name == RELAY).values(number=number))
                connection.execute(update(messages).where(messages.c.id.in_(ids)).values(batch=number))
                rows = self._rows(connection, number)
        return Batch(sender, number, rows)

    def _rows(self, connection: Connection, number: int) -> tuple[tuple[int, bytes], ...]:
        table = self._outbox.tables.messages
        asked = select(table.c.id, table.c.message).where(table.c.state == WAITING, table.c.batch == number)
        return tuple([(row.id, bytes(row.message)) for row in connection.execute(asked.order_by(table.c.id))])

    def publish(self, batch: Batch) -> None:
        """Give a batch to the broker. What no broker takes is set aside, and holds up nothing behind it.

        Raises:
            OperationalError: The broker is away; the batch stays recorded.
        """
        messages: list[Message] = []
        for row, data in batch.rows:
            try:
                messages.append(unpack(data))
            except DecodeError as exc:
                self._set_aside(row, exc)
        if not messages:
            return
        try:
            self._outbox.app.publisher.forward(messages, Sending(batch.sender, batch.number, _MEMORY, once=True))
        except OperationalError:
            raise
        except CeleriacError as exc:
            if len(batch.rows) == 1:
                self._singly = max(0, self._singly - 1)
                self._set_aside(batch.rows[0][0], exc)
                return
            self._singly = len(batch.rows)
            self._release(batch)
            raise OperationalError(f"the broker refuses a batch of the outbox, now sent one by one: {exc}") from exc
        self._singly = max(0, self._singly - len(messages))

    def finish(self, batch: Batch) -> None:
        """Delete the rows of a published batch, or mark them if published ones are kept."""
        table = self._outbox.tables.messages
        those = (table.c.batch == batch.number, table.c.state == WAITING)
        change: Any = delete(table).where(*those)
        if self._keep:
            change = update(table).where(*those).values(state=PUBLISHED, published=self._clock.now())
        with self._connection() as connection:
            self._beat(connection)
            connection.execute(change)

    def _release(self, batch: Batch) -> None:
        table = self._outbox.tables.messages
        with self._connection() as connection:
            self._beat(connection)
            connection.execute(update(table).where(table.c.batch == batch.number).values(batch=None))

    def _set_aside(self, row: int, why: Exception) -> None:
        table = self._outbox.tables.messages
        with self._connection() as connection:
            self._beat(connection)
            connection.execute(
                update(table).where(table.c.id == row).values(state=REFUSED, reason=f"{type(why).__name__}: {why}")
            )

    def _prune(self) -> None:
        now = self._clock.monotonic()
        if not self._keep or now < self._prune_at:
            return
        self._prune_at = now + min(_PRUNE_EVERY, self._keep)
        table = self._outbox.tables.messages
        old = self._clock.now() - self._keep
        with self._connection() as connection:
            self._beat(connection)
            connection.execute(delete(table).where(table.c.state == PUBLISHED, table.c.published < old))

    def _look(self, asked: Executable) -> Sequence[Any]:
        """Return what is there; writes nothing, and so holds up nobody."""
        try:
            with self._outbox.engine.connect() as connection:
                return connection.execute(asked).all()
        except SQLAlchemyError as exc:
            raise away(exc) from exc

    @contextmanager
    def _connection(self) -> Generator[Connection]:
        """Yield a connection in a transaction that is committed at the end; it outlives no lease."""
        try:
            with bounded(self._outbox.engine, self._lease) as connection:
                yield connection
        except SQLAlchemyError as exc:
            raise away(exc) from exc
