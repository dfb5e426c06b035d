"""The outbox: messages are rows of the caller's transaction until a relay has brought them to the broker.

A message is written as an object that is added to the session: with the session's next flush, by its own connection,
and gone with a rollback, also with one to a savepoint. What is written are the bytes that the broker will keep, signed
and encrypted already; whatever is wrong with a call is raised by the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError

from celeriac.app import Celeriac
from celeriac.app.transaction import Transaction
from celeriac.contrib.sqlalchemy import sessions
from celeriac.contrib.sqlalchemy.relay import Relay, RelayOptions
from celeriac.contrib.sqlalchemy.source import Source
from celeriac.contrib.sqlalchemy.tables import WAITING, Tables
from celeriac.core.message import Message, pack
from celeriac.errors import ImproperlyConfigured

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import Session

T = TypeVar("T")
NAME: Final = "celeriac_outbox"


class Outbox(Source):
    """The outbox of an app, in one database. An app has one.

    Args:
        app: The app; its ``outbox`` becomes this one.
        engine: The application's database: PostgreSQL, MySQL, MariaDB or SQLite. The relay uses it too, so it is one of
            ``create_engine()``.
        metadata: Where its tables are added, for instance ``Base.metadata``; None for one of its own.
        name: The name of its table; that of the relay's has ``_relay`` behind it.
        schema: The schema they are in; None for the database's default.
        relay_in_worker: Let every worker of the app run a relay. False: run ``celeriac relay``.
        **relay: ``batch``, ``lease``, ``interval`` and ``keep_published``, as for :class:`Relay`.

    Raises:
        ImproperlyConfigured: A number is out of range, or the engine is one for coroutines.
    """

    def __init__(
        self,
        app: Celeriac,
        engine: Engine | AsyncEngine,
        *,
        metadata: MetaData | None = None,
        name: str = NAME,
        schema: str | None = None,
        relay_in_worker: bool = True,
        **relay: Unpack[RelayOptions],
    ) -> None:
        if not isinstance(engine, Engine):
            raise ImproperlyConfigured(
                "the relay of an outbox blocks: give Outbox an engine of create_engine() for the same database; bind()"
                " takes an async_sessionmaker all the same"
            )
        super().__init__(app, engine, Tables(MetaData() if metadata is None else metadata, name, schema))
        self._in_worker = relay_in_worker
        self._relay_options = relay
        self.relay("checked")
        app.outbox = self

    # Setting up.

    def create(self) -> None:
        """Create the tables that are missing."""
        metadata = self.tables.messages.metadata
        metadata.create_all(self.engine, tables=self.tables.both)

    def bind(self, sessions_of: T) -> T:
        """Have what is sent while a session of these is in a transaction be a part of it; return the same object.

        Args:
            sessions_of: A ``sessionmaker``, ``async_sessionmaker``, ``scoped_session``, or a class of sessions.
        """
        sessions.watch(sessions_of, self)
        return sessions_of

    def session(self, session: Any) -> Transaction:
        """Return a block in which the app sends by this session (``Session``, ``AsyncSession``, ``Connection``)."""
        return Transaction(self.app, session)

    # Sending.

    def session_for(self, given: Any) -> Session | Connection | None:
        found = sessions.current(self) if given is None else sessions.plain(given)
        if found is not None:
            self._check(found)
        return found

    def keep(self, session: Session | Connection, messages: Sequence[Message]) -> None:
        now = self.app.clock.now()
        rows: list[dict[str, Any]] = [
            {
                "task_id": one.id,
                "task": one.task,
                "queue": one.queue,
                "message": pack(one),
                "written": now,
                "state": WAITING,
            }
            for one in messages
        ]
        if isinstance(session, Connection):
            session.execute(self.tables.messages.insert(), rows)
        elif session._flushing:  # pyright: ignore[reportPrivateUsage]
            # A hook of the application's sends; objects cannot be added now.
            session.connection(bind_arguments={"mapper": self.tables.Row}).execute(self.tables.messages.insert(), rows)
        else:
            for row in rows:
                added = self.tables.Row()
                for name, value in row.items():
                    setattr(added, name, value)
                session.add(added)

    def _check(self, found: Session | Connection) -> None:
        """Raise if what is written there would be in another database."""
        if isinstance(found, Connection):
            bind: Any = found
        else:
            try:
                bind = found.get_bind(self.tables.Row)
            except SQLAlchemyError as exc:
                raise ImproperlyConfigured(
                    f"the session has no database for the outbox's table {self.tables.messages.name}: add"
                    f" `outbox.tables.Row: engine` to its binds ({exc})"
                ) from exc
        url, own = bind.engine.url, self.engine.url
        if (url.get_backend_name(), url.host, url.port, url.database) != (
            own.get_backend_name(),
            own.host,
            own.port,
            own.database,
        ):
            raise ImproperlyConfigured(
                f"the outbox is in {own.render_as_string()}, and this session writes to {url.render_as_string()}: use a"
                " session of the outbox's database, or name it by connection="
            )

    # Relaying.

    def relay(self, holder: str) -> Relay:
        """Return a relay.

        Args:
            holder: Its name, another for each process.
        """
        return Relay(self, holder, **self._relay_options)

    def embedded(self, holder: str) -> Relay | None:
        return self.relay(holder) if self._in_worker else None
