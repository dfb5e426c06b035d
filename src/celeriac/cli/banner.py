"""What a worker shows when it starts: who it is, where tasks come from, how they run, and which it knows."""

from __future__ import annotations

import os
import platform
from typing import Final

from celeriac import __version__
from celeriac.app import Celeriac
from celeriac.cli.output import Output
from celeriac.core.redact import redact_url
from celeriac.worker.options import WorkerOptions

_LETTERS: Final = (
    r"          |         o         ",
    r"  __  ___ |  ___  _ _  ___  __",
    r" /   /__/ | /__/ |  | /  / /  ",
    r" \__ \___ | \___ |  | \_/\ \__",
)
_MOST_TASKS: Final = 50


def banner(out: Output, app: Celeriac, options: WorkerOptions, *, health_port: int | None = None) -> None:
    """Write the banner to standard output."""
    for letters in _LETTERS:
        out.line(letters.rstrip(), "bold green")
    out.line()
    out.line(f" {options.node} · celeriac {__version__}", "bold")
    out.line(f" {platform.system()} {platform.release()} · Python {platform.python_version()} · pid {os.getpid()}")
    for title, rows in _sections(app, options, health_port):
        out.line()
        out.line(f" [{title}]", "bold")
        for row in rows:
            out.line(f"   {row}")
    out.line()


def _sections(app: Celeriac, options: WorkerOptions, health_port: int | None) -> list[tuple[str, list[str]]]:
    tasks = sorted(app.tasks.regular())
    shown = tasks[:_MOST_TASKS]
    if len(tasks) > len(shown):
        shown.append(f"and {len(tasks) - len(shown)} more: `celeriac inspect registered` lists them")
    return [
        ("config", _config(app, options, health_port)),
        ("queues", list(options.queues)),
        ("tasks", shown or ["none: is the module that defines them imported (include=, -I, autodiscover_tasks)?"]),
    ]


def _config(app: Celeriac, options: WorkerOptions, health_port: int | None) -> list[str]:
    broker, backend = app.urls()
    rows = {
        "app": f"{app.main or 'celeriac'} ({options.target})",
        "broker": redact_url(broker),
        "results": "none are kept" if backend is None else redact_url(backend),
        "concurrency": concurrency(options),
        "limits": _limits(options),
        "health": None if health_port is None else f"http://127.0.0.1:{health_port}/health",
        "log": f"{options.loglevel}" + (f" to {options.logfile}" if options.logfile else ""),
    }
    return [f"{name + ':':<13}{value}" for name, value in rows.items() if value]


def concurrency(options: WorkerOptions) -> str:
    """Return how tasks run, in words."""
    least, most = options.processes, options.processes_max
    count = f"{least} to {most}" if most > least else str(least)
    processes = f"{count} process{'' if count == '1' else 'es'}"
    each = " each" if most > 1 else ""
    match options.pool:
        case "solo":
            sync = "one task at a time in this process"
        case "prefork" if not options.threads:
            sync = f"{processes} of one task at a time"
        case _:
            sync = f"{processes}, {options.sync_slots} thread{'' if options.sync_slots == 1 else 's'}{each}"
    return f"{sync}, {options.coroutines} coroutines{each} ({options.pool})"


def _limits(options: WorkerOptions) -> str:
    """Return the limits that were set, in words."""
    limits = {
        "soft": options.soft_time_limit and f"{options.soft_time_limit:g} s",
        "hard": options.time_limit and f"{options.time_limit:g} s",
        "tasks per process": options.max_tasks_per_child,
        "memory per process": options.max_memory_per_child and f"{options.max_memory_per_child} KiB",
    }
    return ", ".join(f"{name} {value}" for name, value in limits.items() if value)
