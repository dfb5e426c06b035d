"""``celeriac purge``: drop what waits in queues."""

from __future__ import annotations

import click

from celeriac.cli.session import Session, comma_separated, pass_session


@click.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-Q", "--queues", metavar="A,B", callback=comma_separated, help="Queues. Default: those of the app.")
@click.option("-X", "--exclude-queues", metavar="A,B", callback=comma_separated, help="Queues to leave alone.")
@pass_session
def purge(
    session: Session, /, force: bool, queues: tuple[str, ...] | None, exclude_queues: tuple[str, ...] | None
) -> int:
    """Drop all tasks that wait in queues, those with an eta too. What runs goes on; dead letters stay."""
    app = session.app
    app.broker.install()
    stats = {one.queue: one for one in app.broker.stats()}
    chosen = [name for name in queues or app.queue_names() if name not in (exclude_queues or ())]
    waiting = sum(one.ready + one.scheduled for name, one in stats.items() if name in chosen)
    if not chosen:
        raise click.UsageError("-X leaves no queue to purge.")
    if not force and not click.confirm(f"Drop {waiting} waiting tasks of {', '.join(chosen)} for good?", err=True):
        session.out.note("Nothing was dropped.")
        return 1
    dropped = app.control.purge(chosen)
    session.out.line(f"Dropped {dropped} waiting task{'' if dropped == 1 else 's'} of {', '.join(chosen)}.")
    others = [name for name, one in stats.items() if name not in chosen and one.ready + one.scheduled]
    if others:
        session.out.note(f"Note: tasks also wait in {', '.join(others)}; -Q names queues to purge.")
    return 0
