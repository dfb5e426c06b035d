"""``celeriac relay``: brings what waits in the app's outbox to the broker."""

from __future__ import annotations

import os
import signal
import socket

import click

from celeriac.app.transaction import Outbox, OutboxState
from celeriac.cli.output import outbox_lines
from celeriac.cli.session import Session, pass_session
from celeriac.core.clock import SYSTEM
from celeriac.errors import ImproperlyConfigured, OperationalError
from celeriac.events import Bus
from celeriac.worker import logs
from celeriac.worker.health import Health, HealthBeat, HealthFile, HealthServer
from celeriac.worker.relaying import WatchedRelay
from celeriac.worker.service import Service, ServiceLoop


@click.command()
@click.option("--status", is_flag=True, help="Show how the outbox stands, and end.")
@click.option("--once", is_flag=True, help="End when the outbox is empty.")
@click.option("-j", "--json", "as_json", is_flag=True, help="With --status: write JSON.")
@click.option("-l", "--loglevel", default="INFO", show_default=True, metavar="LEVEL", help="What the log shows.")
@click.option("--health-file", metavar="FILE", help="Touch this file each second while it makes progress.")
@click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="Answer probes on 127.0.0.1.")
@pass_session
def relay(
    session: Session,
    /,
    status: bool,
    once: bool,
    as_json: bool,
    loglevel: str,
    health_file: str | None,
    health_port: int | None,
) -> None:
    """Bring tasks from the app's outbox to the broker, until TERM or INT.

    Of several relays one works and the others stand by.
    """
    session.require_target()
    session.import_tasks()
    outbox = session.app.outbox
    if outbox is None:
        raise ImproperlyConfigured(
            "this app has no outbox: make one with celeriac.contrib.sqlalchemy.Outbox(app, engine) in a module that the"
            " app imports"
        )
    if status:
        _show(session, outbox.state(), as_json)
        return
    logs.setup(loglevel)
    file = HealthFile(health_file, "--health-file") if health_file else None
    watched = WatchedRelay(
        outbox.relay(f"{socket.gethostname()}:{os.getpid()}"), session.app.conf.worker_watchdog_timeout, SYSTEM
    )
    probe = None if health_port is None else HealthServer(health_port, lambda: _health(watched), "--health-port")
    session.app.broker.install()
    loop = _loop(watched, outbox if once else None, file)

    def stop(number: int, frame: object) -> None:
        loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    session.out.note("The relay works until TERM or INT." if not once else "The relay works until the outbox is empty.")
    if probe is not None:
        session.out.note(f"Probes are answered on http://127.0.0.1:{probe.port}/")
        probe.start()
    try:
        loop.run()
    finally:
        if probe is not None:
            probe.stop()
        if file is not None:
            file.remove()
    try:
        watched.close()
    except OperationalError as exc:
        session.out.note(f"Another relay takes over when this one's lease has ended, not at once: {exc}")


def _health(watched: WatchedRelay) -> Health:
    problems = watched.problems
    return Health(not problems, problems, None, None, watched.info)


def _loop(watched: WatchedRelay, until_empty: Outbox | None, file: HealthFile | None) -> ServiceLoop:
    bus = Bus()
    logs.subscribe(bus)
    emptying = None if until_empty is None else _UntilEmpty(watched, until_empty)
    services: list[Service] = [watched if emptying is None else emptying]
    if file is not None:
        # In the same loop: a relay that stands still touches nothing.
        services.append(HealthBeat(file, lambda: _health(watched)))
    loop = ServiceLoop(services, bus)
    if emptying is not None:
        emptying.loop = loop
    return loop


def _show(session: Session, found: OutboxState, as_json: bool) -> None:
    if as_json:
        session.out.json(found.rounded())
        return
    for line in outbox_lines(found):
        session.out.line(line)


class _UntilEmpty:
    """A relay that stops its loop once nothing waits."""

    def __init__(self, service: WatchedRelay, outbox: Outbox) -> None:
        self._service = service
        self._outbox = outbox
        self.name = service.name
        self.longest_backoff = service.longest_backoff
        self.loop: ServiceLoop | None = None

    def tick(self) -> float:
        delay = self._service.tick()
        if self.loop is not None and not self._outbox.lag()[0]:
            self.loop.stop()
        return delay
