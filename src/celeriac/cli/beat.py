"""``celeriac beat``: a scheduler in a process of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import click

from celeriac.cli.pidfile import PidFile
from celeriac.cli.session import Session, pass_session
from celeriac.errors import ImproperlyConfigured
from celeriac.events import Bus
from celeriac.events.signals import beat_init
from celeriac.scheduler.service import Scheduler
from celeriac.worker import logs
from celeriac.worker.arrival import reach_stores
from celeriac.worker.health import Health, HealthBeat, HealthFile, HealthServer
from celeriac.worker.service import ServiceLoop

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
@click.option("--health-file", metavar="FILE", help="Touch this file each second while it gets to look at the store.")
@click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="Answer probes on 127.0.0.1.")
@click.option("-s", "--schedule", hidden=True)
@click.option("-S", "--scheduler", hidden=True)
@click.option("--max-interval", type=float, hidden=True)
@click.option("--detach", is_flag=True, hidden=True)
@pass_session
def beat(session: Session, /, **given: Any) -> None:
    """Send tasks when schedule entries are due, until TERM or INT.

    Any number of them may run, on any machines, and workers with -B beside them: one works, the others stand by.
    """
    if given["detach"]:
        raise click.UsageError(
            "--detach: the scheduler stays in the foreground, so that a service manager can watch it: use systemd,"
            " supervisor, a container, or `nohup celeriac ... beat --pidfile FILE -f LOG &`."
        )
    session.require_target()
    session.import_tasks()
    if not session.app.broker.capabilities.shared:
        raise ImproperlyConfigured(
            f"the broker {session.app.broker.capabilities.name}:// lives inside one process, and no worker would see"
            " what this one sends: use a store that processes share, such as sqlite:///tasks.db, or"
            " app.schedule.start_background() in the process that has it"
        )
    for name, (flag, reason) in _NOTES.items():
        if given[name] is not None:
            session.out.note(f"Note: {flag} has no effect: {reason}.")
    if given["logfile"] is not None:
        logs.check_writable(given["logfile"])
    with PidFile(given["pidfile"], session.out.note):
        reach_stores(session.app, session.out.note)
        logs.setup(given["loglevel"], given["logfile"])
        bus = Bus()
        logs.subscribe(bus)
        service = session.app.schedule.scheduler(bus)
        with _watched(session, service, given["health_file"], given["health_port"]):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda _number, _frame: service.stop())
            beat_init.send(service)
            session.out.note("The scheduler works until TERM or INT.")
            service.run()


def _health(scheduler: Scheduler) -> Health:
    found = scheduler.status
    return Health(not found.problems, found.problems, None, None, notes=found.doubts or None)


@contextmanager
def _watched(session: Session, scheduler: Scheduler, path: str | None, port: int | None) -> Generator[None]:
    """Tell how the scheduler does, by a file and to probes, where they are asked for."""
    file = None if path is None else HealthFile(path, "--health-file")
    probe = None if port is None else HealthServer(port, lambda: _health(scheduler), "--health-port")
    loop = ServiceLoop([] if file is None else [HealthBeat(file, lambda: _health(scheduler))], Bus())
    thread = threading.Thread(target=loop.run, name="celeriac-health-file", daemon=True)
    if probe is not None:
        session.out.note(f"Probes are answered on http://127.0.0.1:{probe.port}/")
        probe.start()
    if file is not None:
        thread.start()
    try:
        yield
    finally:
        loop.stop()
        if probe is not None:
            probe.stop()
        if file is not None:
            thread.join()
            file.remove()
