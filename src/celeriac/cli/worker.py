"""``celeriac worker``: options into a worker's shape, a look at the broker, the banner, and off it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import msgspec

from celeriac.app import Celeriac
from celeriac.cli import reloading
from celeriac.cli.banner import banner
from celeriac.cli.pidfile import PidFile
from celeriac.cli.session import Session, comma_separated, pass_session
from celeriac.core.queues import served_by
from celeriac.errors import ImproperlyConfigured
from celeriac.events import signals
from celeriac.execution.announce import Node
from celeriac.worker import logs, options
from celeriac.worker.arrival import reach_stores
from celeriac.worker.supervisor import Supervisor

F = TypeVar("F", bound=Callable[..., Any])

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")
_ALIASES: Final = {"processes": "prefork"}
_IGNORED: Final = {
    "without_gossip": ("--without-gossip", "workers do not gossip"),
    "without_mingle": ("--without-mingle", "workers need not meet before they start"),
    "without_heartbeat": ("--without-heartbeat", "heartbeats cost nothing and tell that the worker lives"),
    "heartbeat_interval": ("--heartbeat-interval", "heartbeats come every two seconds"),
    "optimization": ("-O", "tasks are always given to whoever is free (fair)"),
    "prefetch_multiplier": ("--prefetch-multiplier", "a worker claims only what it is about to run"),
    "disable_prefetch": ("--disable-prefetch", "a worker claims only what it is about to run"),
    "task_events": ("-E", "task events for monitors come in a later version"),
    "statedb": ("--statedb", "revoked tasks are remembered by the broker"),
    "schedule": ("-s", "when entries are due next is kept in the broker's store, not in a file"),
    "scheduler": ("--scheduler", "there is one scheduler; entries of settings, code and the store all go through it"),
}


def _shape_options(command: F) -> F:
    """What the worker is."""
    for option in reversed(
        (
            click.option("-n", "--hostname", metavar="NAME", help="Node name; %h is the host, %n its first part, %d"
                         " the domain. Default: celeriac@%h."),
            click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Tasks that run at once. Default:"
                         " one for each core."),
            click.option("-P", "--pool", metavar="POOL", help="prefork (processes), threads, asyncio (coroutines; 100"
                         " at once) or solo (this process). Every pool runs both kinds of tasks."),
            click.option("--threads", type=click.IntRange(min=1), help="Threads for tasks in each process."),
            click.option("--autoscale", metavar="MAX,MIN", callback=_autoscale, help="Most and fewest processes."),
            click.option("-Q", "--queues", metavar="A,B", callback=comma_separated, help="Queues to work on."),
            click.option("-X", "--exclude-queues", metavar="A,B", callback=comma_separated, help="Queues not to."),
            click.option("-I", "--include", metavar="A,B", callback=comma_separated, help="More modules to import."),
            click.option("--max-tasks-per-child", type=click.IntRange(min=1), help="Replace a process after so many."),
            click.option("--max-memory-per-child", type=click.IntRange(min=1), metavar="KIB", help="Replace a process"
                         " that has grown above this."),
            click.option("--time-limit", type=click.FloatRange(min=0, min_open=True), metavar="S", help="End a task"
                         " after so many seconds by ending its process."),
            click.option("--soft-time-limit", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Raise"
                         " SoftTimeLimitExceeded in a task after so many seconds."),
            click.option("--pool-start-method", type=click.Choice(options.START_METHODS), help="How processes start."),
            click.option("--purge", "--discard", is_flag=True, help="Drop what waits in the queues first."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _running_options(command: F) -> F:
    """How it runs as a service."""
    for option in reversed(
        (
            click.option("-l", "--loglevel", type=click.Choice(_LEVELS, case_sensitive=False), default="WARNING",
                         show_default=True, help="INFO shows a line when a task comes and one when it is done."),
            click.option("-f", "--logfile", metavar="FILE", help="Write the log there instead of to standard error."),
            click.option("--pidfile", metavar="FILE", help="Keep the process id there; refuse to start twice."),
            click.option("--grace", type=click.FloatRange(min=0), metavar="S", help="Seconds that a shutdown (TERM,"
                         " Ctrl-C) waits for running tasks. Default: 25."),
            click.option("--health-file", metavar="FILE", help="Touch this file each second while all is well."),
            click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="Answer probes over"
                         " HTTP on 127.0.0.1."),
            click.option("-B", "--beat", is_flag=True, help="Be a scheduler, too; of all that run anywhere one works."),
            click.option("--reload", is_flag=True, help="Start anew when a Python file of the project changes; for"
                         " development."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _options_of_celery(command: F) -> F:
    """What Celery's worker takes and this one has no use for."""
    for option in reversed(
        (
            click.option("--without-gossip", is_flag=True, hidden=True),
            click.option("--without-mingle", is_flag=True, hidden=True),
            click.option("--without-heartbeat", is_flag=True, hidden=True),
            click.option("--heartbeat-interval", type=float, hidden=True),
            click.option("-O", "optimization", hidden=True),
            click.option("--prefetch-multiplier", type=int, hidden=True),
            click.option("--disable-prefetch", is_flag=True, hidden=True),
            click.option("-E", "--task-events", "--events", is_flag=True, hidden=True),
            click.option("-S", "--statedb", hidden=True),
            click.option("-s", "--schedule", "--schedule-filename", "schedule", hidden=True),
            click.option("--scheduler", hidden=True),
            click.option("-D", "--detach", is_flag=True, hidden=True),
        )
    ):
        command = option(command)
    return command


def _autoscale(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        most, least = (int(one) for one in (value if "," in value else f"{value},1").split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not MAX,MIN, such as 8,2", ctx, parameter) from None
    return most, least


@click.command()
@_shape_options
@_running_options
@_options_of_celery
@pass_session
def worker(session: Session, /, **given: Any) -> int:
    """Start a worker.

    It works until told to stop. TERM or Ctrl-C: finish what runs, for as long as --grace says; the same again, or QUIT:
    at once. What has not run, or not to its end, is left to other workers.
    """
    session.debug = given["loglevel"] == "DEBUG"
    _refuse(given)
    target = session.require_target()
    inside = reloading.join()
    if given["reload"] and not inside:
        with PidFile(given["pidfile"]):
            return reloading.run(session, target, given["grace"])
    with PidFile(None if inside else given["pidfile"], session.out.note):
        return _work(session, target, given)


def _work(session: Session, target: str, given: dict[str, Any]) -> int:
    app = session.app
    node = options.node_name(given["hostname"])
    signals.celeryd_init.send(node, instance=Node(node, app), conf=app.conf, options=given)
    shape = _shape(app, target, given)
    if not session.out.color:
        shape = msgspec.structs.replace(shape, log=msgspec.structs.replace(shape.log, color=False))
    options.configure(app.conf, shape)
    session.import_tasks()
    signals.celeryd_after_setup.send(shape.node, instance=Node(shape.node, app), conf=app.conf)
    logging_heard = any(
        one.receivers for one in (signals.setup_logging, signals.after_setup_logger, signals.after_setup_task_logger)
    )
    shape = msgspec.structs.replace(shape, has_logging_receivers=logging_heard)
    if shape.logfile is not None:
        logs.check_writable(shape.logfile)
    _check_store(app, shape)
    reach_stores(app, session.out.note)
    for name, (flag, reason) in _IGNORED.items():
        if given[name]:
            session.out.note(f"Note: {flag} has no effect: {reason}.")
    for note in _unheeded(app):
        session.out.note(note)
    if given["purge"]:
        session.out.note(f"Dropped {app.control.purge(shape.queues)} waiting tasks.")
    # Opened again by the thread that uses it, and not inherited by children.
    app.broker.close()
    logs.setup(shape.loglevel, shape.logfile, shape.log)
    signals.worker_init.send(Node(shape.node, app))
    port, run = _made(app, shape)
    if not session.out.quiet:
        banner(session.out, app, shape, health_port=port)
    sys.stdout.flush()
    return run()


def _made(app: Celeriac, shape: options.WorkerOptions) -> tuple[int | None, Callable[[], int]]:
    """Return the port of the worker's HTTP probe, None without one, and what runs the worker."""
    if shape.pool == "solo":
        from celeriac.worker.solo import Solo  # What runs tasks is not held in memory where others do it.

        return None, Solo(app, shape).run
    supervisor = Supervisor(app, shape)
    return supervisor.health_port, supervisor.run


def _unheeded(app: Celeriac) -> list[str]:
    """Return a note for each thing that the app asks of its workers and this version does not do."""
    notes: list[str] = []
    limited = sorted(name for name, task in app.tasks.regular().items() if task.rate_limit is not None)
    if limited and not app.conf.worker_disable_rate_limits:
        rest = f" and {len(limited) - 1} more" if len(limited) > 1 else ""
        notes.append(f"Note: rate_limit has no effect yet: {limited[0]}{rest} will run as fast as the workers can.")
    return notes


def _refuse(given: dict[str, Any]) -> None:
    """Say no to what cannot be done, rather than doing something else."""
    if given["detach"]:
        raise click.UsageError(
            "--detach: a worker stays in the foreground, so that a service manager can watch it: use systemd,"
            " supervisor, a container, or `nohup celeriac ... worker --pidfile FILE -f LOG &`."
        )


def _shape(app: Celeriac, target: str, given: dict[str, Any]) -> options.WorkerOptions:
    """Return the worker that the settings and the command line ask for."""
    pool = given["pool"]
    excluded = given["exclude_queues"] or ()
    wanted = given["queues"] or app.queue_names()
    queues = tuple(name for name in wanted if name not in excluded)
    if not queues:
        raise ImproperlyConfigured(f"-X {','.join(excluded)} leaves no queue to work on")
    hard, soft = given["time_limit"], given["soft_time_limit"]
    if hard is not None and soft is not None and soft >= hard:
        raise ImproperlyConfigured(f"--soft-time-limit {soft:g} must be shorter than --time-limit {hard:g}")
    node = options.node_name(given["hostname"])
    queues = served_by(queues, app.conf.task_queues, node)
    return options.from_settings(
        app.conf,
        target=target,
        node=given["hostname"],
        queues=queues,
        pool=_ALIASES.get(pool, pool),
        concurrency=given["concurrency"],
        threads=given["threads"],
        autoscale=given["autoscale"],
        start_method=given["pool_start_method"],
        grace=given["grace"],
        max_tasks_per_child=given["max_tasks_per_child"],
        max_memory_per_child=given["max_memory_per_child"],
        time_limit=given["time_limit"],
        soft_time_limit=given["soft_time_limit"],
        include=given["include"],
        health_file=given["health_file"],
        health_port=given["health_port"],
        beat=given["beat"],
        loglevel=given["loglevel"],
        logfile=_log_path(given["logfile"], node),
    )


def _log_path(path: str | None, node: str) -> str | None:
    """Return the log file's path with Celery's marks expanded."""
    if path is None:
        return None
    if "%i" in path or "%I" in path:
        raise ImproperlyConfigured(
            f"--logfile {path!r}: there is no file for each child process (%i, %I); all write whole lines to one file,"
            " and each line names its process"
        )
    name, _, host = node.partition("@")
    for mark, value in (("%n", name), ("%p", node), ("%h", host), ("%d", host.partition(".")[2]), ("%%", "%")):
        path = path.replace(mark, value)
    return path


def _check_store(app: Celeriac, shape: options.WorkerOptions) -> None:
    """Refuse stores that the worker's processes cannot share."""
    places = [("broker", app.broker.capabilities)]
    if app.results_enabled and not app.results_share_broker:
        places.append(("result backend", app.backend.capabilities))
    for what, capabilities in places:
        if not capabilities.shared and shape.pool != "solo":
            raise ImproperlyConfigured(
                f"the {what} {capabilities.name}:// lives inside one process, and -P {shape.pool} runs tasks in"
                " others, which would see none of it: use -P solo, or a store that processes share, such as"
                " sqlite:///celeriac.db"
            )
    if shape.pool == "solo" and shape.health_port is not None:
        raise ImproperlyConfigured("--health-port needs child processes; with -P solo use --health-file")
