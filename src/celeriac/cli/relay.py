"""``celeriac relay``: brings what waits in the app's outbox to the broker."""

from __future__ import annotations

import os
import signal
import socket

import click

from celeriac.app.transaction import Outbox, RelayService
from celeriac.cli.output import duration
from celeriac.cli.session import Session, pass_session
from celeriac.errors import ImproperlyConfigured
from celeriac.events import Bus
from celeriac.worker import logs
from celeriac.worker.service import ServiceLoop


@click.command()
@click.option("--status", is_flag=True, help="Show what waits in the outbox, and end.")
@click.option("--once", is_flag=True, help="End when the outbox is empty.")
@click.option("-j", "--json", "as_json", is_flag=True, help="With --status: write JSON.")
@click.option("-l", "--loglevel", default="INFO", show_default=True, metavar="LEVEL", help="What the log shows.")
@pass_session
def relay(session: Session, /, status: bool, once: bool, as_json: bool, loglevel: str) -> None:
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
        _show(session, outbox, as_json)
        return
    logs.setup(loglevel)
    bus = Bus()
    logs.subscribe(bus)
    session.app.broker.install()
    service = outbox.relay(f"{socket.gethostname()}:{os.getpid()}")
    loop = _once(service, outbox, bus) if once else ServiceLoop((service,), bus)

    def stop(number: int, frame: object) -> None:
        loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    session.out.note("The relay works until TERM or INT." if not once else "The relay works until the outbox is empty.")
    loop.run()
    service.close()


def _show(session: Session, outbox: Outbox, as_json: bool) -> None:
    waiting, oldest = outbox.lag()
    if as_json:
        session.out.json({"waiting": waiting, "oldest": oldest})
    else:
        session.out.line(f"{waiting} waiting" + (f", the oldest for {duration(oldest)}" if waiting else ""))


class _UntilEmpty:
    """A relay that stops its loop once nothing waits."""

    name = "outbox relay"

    def __init__(self, service: RelayService, outbox: Outbox) -> None:
        self._service = service
        self._outbox = outbox
        self.longest_backoff = service.longest_backoff
        self.loop: ServiceLoop | None = None

    def tick(self) -> float:
        delay = self._service.tick()
        if self.loop is not None and not self._outbox.lag()[0]:
            self.loop.stop()
        return delay


def _once(service: RelayService, outbox: Outbox, bus: Bus) -> ServiceLoop:
    emptying = _UntilEmpty(service, outbox)
    emptying.loop = ServiceLoop((emptying,), bus)
    return emptying.loop
