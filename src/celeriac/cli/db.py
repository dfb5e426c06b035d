"""``celeriac db``: the structure of the broker's store."""

from __future__ import annotations

import click

from celeriac.cli.session import Session, pass_session
from celeriac.core.redact import redact_url


@click.group()
def db() -> None:
    """Upgrade or check the broker's store.

    A worker upgrades an older store by itself when it starts; these commands do it beforehand, or tell whether it is
    needed.
    """


@db.command()
@pass_session
def upgrade(session: Session, /) -> None:
    """Create what is missing, and bring an older store up to date. Tasks in it stay."""
    version = session.app.broker.install()
    session.out.line(f"{redact_url(session.app.urls()[0])} is at version {version}, the current one.")


@db.command()
@pass_session
def verify(session: Session, /) -> None:
    """Check that the store is complete and current. The exit code is 1 if not."""
    version = session.app.broker.verify()
    session.out.line(f"{redact_url(session.app.urls()[0])} is complete and at version {version}, the current one.")
