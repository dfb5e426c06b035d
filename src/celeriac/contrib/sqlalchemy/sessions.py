"""Which bound session has a transaction open in this thread or asyncio task."""

from __future__ import annotations

import sys
import weakref
from contextvars import ContextVar
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from celeriac.errors import ImproperlyConfigured

_open: Final[ContextVar[tuple[weakref.ref[Session], ...]]] = ContextVar("celeriac_outbox_sessions", default=())
_OWNER: Final = "celeriac.outbox"


def watch(target: Any, owner: object) -> None:
    """Note the transactions of the sessions that this makes: a ``sessionmaker`` (or ``async_sessionmaker``), a
    ``scoped_session``, or a class of sessions.

    Raises:
        TypeError: It is something else.
    """
    for kind in _classes(target):

        def begun(session: Session, transaction: Any) -> None:
            if transaction.parent is None:
                session.info[_OWNER] = owner
                _open.set((*_living(), weakref.ref(session)))

        def ended(session: Session, transaction: Any) -> None:
            if transaction.parent is None:
                _open.set(tuple([one for one in _open.get() if one() not in (None, session)]))

        event.listen(kind, "after_transaction_create", begun)
        event.listen(kind, "after_transaction_end", ended)


def _is(value: object, *kinds: type) -> bool:
    """As isinstance(), for values of which nothing else is known."""
    return isinstance(value, kinds)


def _is_async(value: object, *names: str) -> bool:
    """Return whether this is of one of these classes of ``sqlalchemy.ext.asyncio``.

    It is asked for only if the program has imported it, and else nothing can be: it wants greenlet, which
    SQLAlchemy does not bring by itself since 2.1.
    """
    module = sys.modules.get("sqlalchemy.ext.asyncio")
    return module is not None and _is(value, *[getattr(module, name) for name in names])


def _makes_sessions(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Session)


def _classes(target: Any) -> list[Any]:
    if _is(target, scoped_session):
        return _classes(target.session_factory)
    if _is(target, sessionmaker) or _makes_sessions(target):
        return [target]
    if not _is_async(target, "async_sessionmaker"):
        raise TypeError(
            "an outbox binds a sessionmaker, an async_sessionmaker, a scoped_session or a class of sessions, not"
            f" {target!r:.200}"
        )
    # A class of its own, so that other asynchronous sessions are left alone.
    base = target.kw.get("sync_session_class") or target.class_.sync_session_class
    own = type("OutboxSession", (base,), {})
    target.configure(sync_session_class=own)
    return [own]


def _living() -> tuple[weakref.ref[Session], ...]:
    """Return the sessions whose transaction is open; one may have ended in another context, which told only that."""
    return tuple([one for one in _open.get() if (found := one()) is not None and found.in_transaction()])


def current(owner: object) -> Session | None:
    """Return the session of this outbox that began its transaction last; None if none is open."""
    for one in reversed(_living()):
        session = one()
        if session is not None and session.info.get(_OWNER) is owner:
            return session
    return None


def plain(given: Any) -> Any:
    """Return the ``Session`` or ``Connection`` behind what a caller gave.

    Raises:
        TypeError: It is none of SQLAlchemy's.
        ImproperlyConfigured: It is a connection for coroutines, on which nothing can be written in passing.
    """
    if _is(given, scoped_session) or _is_async(given, "async_scoped_session"):
        given = given()
    if _is_async(given, "AsyncConnection"):
        raise ImproperlyConfigured("an outbox writes by an AsyncSession, not by an AsyncConnection: make one on it")
    if _is_async(given, "AsyncSession"):
        return given.sync_session
    if not _is(given, Session, Connection):
        raise TypeError(f"an outbox writes by a session or connection of SQLAlchemy, not by {given!r:.200}")
    return given
