"""What the figures were measured on. No name of a machine, no path, no user."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from benchmarks.system import FOREIGN

PACKAGES: Final = (
    *("celeriac", "msgspec", "uvloop", "hiredis", "psycopg", "pamqp"),
    *(
        "celery",
        "kombu",
        "billiard",
        "redis",
        "amqp",
        "dramatiq",
        "pika",
        "procrastinate",
        "taskiq",
        "huey",
        "rq",
        "saq",
        "streaq",
    ),
)


_NODE_VERSION: Final = "process.stdout.write(JSON.parse(fs.readFileSync(`node_modules/{0}/package.json`)).version)"
FOREIGN_VERSIONS: Final = {
    "Node.js": ("node", "--version"),
    **{name: ("node", "-e", _NODE_VERSION.format(name)) for name in ("bullmq", "graphile-worker")},
    "Ruby": ("ruby", "-e", "print RUBY_VERSION"),
    "sidekiq": ("ruby", "-e", "require 'sidekiq/version'; print Sidekiq::VERSION"),
}
"""What prints the versions of systems of other languages."""


def machine(folder: Path) -> dict[str, str]:
    """Describe the machine; ``folder`` is where SQLite files go."""
    return {
        "Processor": f"{_processor()}, {cores()} cores",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "File system of the SQLite files": _file_system(folder),
    }


def cores() -> int:
    """Return how many processes may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_busy() -> bool:
    """Return whether a good part of the machine has had something else to do in the last minute."""
    return os.getloadavg()[0] > 0.6 * cores()


def load() -> str:
    """Return how many processes wanted to run, on average over the last 1, 5 and 15 minutes."""
    return " ".join(f"{average:.1f}" for average in os.getloadavg())


def versions(servers: Iterable[str]) -> dict[str, str]:
    """Return the versions of what was measured; ``servers`` are names with versions."""
    found = {"Python": f"{platform.python_implementation()} {platform.python_version()}"}
    found |= {name: _version(name) for name in PACKAGES}
    found |= {name: said for name, command in FOREIGN_VERSIONS.items() if (said := _said(command))}
    return {**found, "SQLite": sqlite3.sqlite_version, **dict(server.split(" ", 1) for server in servers)}


def _said(command: tuple[str, ...]) -> str:
    """Return what a command of another language prints; nothing if it cannot be run."""
    if shutil.which(command[0]) is None:
        return ""
    folder = Path(__file__).resolve().parent.parent / FOREIGN
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    partitions = psutil.disk_partitions(all=True)
    above = [each for each in partitions if folder.resolve().is_relative_to(each.mountpoint)]
    return max(above, key=lambda each: len(each.mountpoint)).fstype if above else "unknown"
