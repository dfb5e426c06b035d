"""``celeriac db``: the structure of the broker's store, and of the result store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from celeriac.cli.session import Session, pass_session
from celeriac.core.redact import redact_url

if TYPE_CHECKING:
    from celeriac.results import SyncResults


@click.group()
def db() -> None:
    """Upgrade or check the broker's store, and the result store.

    A worker upgrades an older store by itself when it starts; these commands do it beforehand, or tell whether it is
    needed.
    """


@db.command()
@pass_session
def upgrade(session: Session, /) -> None:
    """Create what is missing, and bring an older store up to date. Tasks in it stay."""
    for url, store in _stores(session):
        session.out.line(f"{redact_url(url)} is at version {store.install()}, the current one.")


@db.command()
@pass_session
def verify(session: Session, /) -> None:
    """Check that the store is complete and current. The exit code is 1 if not."""
    for url, store in _stores(session):
        session.out.line(f"{redact_url(url)} is complete and at version {store.verify()}, the current one.")


def _stores(session: Session) -> Iterator[tuple[str, SyncResults]]:
    """Yield the broker, and the result store if it is another."""
    app = session.app
    broker, backend = app.urls()
    yield broker, app.broker
    if backend is not None and not app.results_share_broker:
        yield backend, app.backend
