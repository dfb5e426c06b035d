"""``celeriac beat``: a scheduler in a process of its own."""

from __future__ import annotations

import signal
from typing import Final

import click

from celeriac.cli.pidfile import PidFile
from celeriac.cli.session import Session, pass_session
from celeriac.events import Bus
from celeriac.events.signals import beat_init
from celeriac.worker import logs
from celeriac.worker.arrival import reach_stores

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")
_NOTES: Final = {
    "schedule": ("-s", "when entries are due next is kept in the broker's store, not in a file"),
    "scheduler": ("-S", "there is one scheduler; entries of settings, code and the store all go through it"),
    "max_interval": ("--max-interval", "it wakes exactly when something is due or changed"),
}


@click.command()
@click.option("-l", "--loglevel", type=click.Choice(_LEVELS, case_sensitive=False), default="WARNING",
              show_default=True, help="INFO shows a line for each task that is sent.")  # fmt: skip
@click.option("-f", "--logfile", metavar="FILE", help="Write the log there instead of to standard error.")
@click.option("--pidfile", metavar="FILE", help="Keep the process id there; refuse to start twice.")
@click.option("-s", "--schedule", hidden=True)
@click.option("-S", "--scheduler", hidden=True)
@click.option("--max-interval", type=float, hidden=True)
@click.option("--detach", is_flag=True, hidden=True)
@pass_session
def beat(
    session: Session,
    /,
    loglevel: str,
    logfile: str | None,
    pidfile: str | None,
    schedule: str | None,
    scheduler: str | None,
    max_interval: float | None,
    detach: bool,
) -> None:
    """Send tasks when schedule entries are due, until TERM or INT.

    Any number of them may run, on any machines, and workers with -B beside them: one works, the others stand by.
    """
    if detach:
        raise click.UsageError(
            "--detach: the scheduler stays in the foreground, so that a service manager can watch it: use systemd,"
            " supervisor, a container, or `nohup celeriac ... beat --pidfile FILE -f LOG &`."
        )
    session.require_target()
    session.import_tasks()
    given = {"schedule": schedule, "scheduler": scheduler, "max_interval": max_interval}
    for name, (flag, reason) in _NOTES.items():
        if given[name] is not None:
            session.out.note(f"Note: {flag} has no effect: {reason}.")
    with PidFile(pidfile, session.out.note):
        reach_stores(session.app, session.out.note)
        logs.setup(loglevel, logfile)
        bus = Bus()
        logs.subscribe(bus)
        service = session.app.schedule.scheduler(bus)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: service.stop())
        beat_init.send(service)
        session.out.note("The scheduler works until TERM or INT.")
        service.run()
