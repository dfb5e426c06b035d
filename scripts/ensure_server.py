"""Find the program of a server, or install its package by the system's package manager.

Tests and benchmarks start private servers on free ports; this makes sure that there is a program to start. Root (a
fresh container, CI) gets the package installed; anyone else gets a sentence that names the package and the command.

    python scripts/ensure_server.py redis-server        prints the path of the program

Fixtures call ``ensure_server("redis-server")``. Calls from several processes at once wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence


class ServerMissingError(RuntimeError):
    """The program of a server is not there and could not be installed; the text says what to do."""


@dataclass(frozen=True)
class Server:
    """How to find and install one server.

    Attributes:
        programs: names of the program, any of which will do.
        packages: package manager to the packages to install.
        folders: patterns of folders outside PATH where distributions put the program.
    """

    programs: tuple[str, ...]
    packages: Mapping[str, tuple[str, ...]]
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manager:
    """A package manager: what a person types before the packages' names, what we run, and whether only root may."""

    by_hand: str
    install: tuple[str, ...]
    refresh: tuple[str, ...] = ()
    needs_root: bool = True


SERVERS: Final[Mapping[str, Server]] = {
    "redis-server": Server(
        programs=("redis-server", "valkey-server"),
        packages={
            "apt-get": ("redis-server",),
            "dnf": ("redis",),
            "apk": ("redis",),
            "pacman": ("valkey",),
            "brew": ("redis",),
        },
    ),
    "postgres": Server(
        programs=("postgres",),
        packages={
            "apt-get": ("postgresql",),
            "dnf": ("postgresql-server", "postgresql-contrib"),
            "apk": ("postgresql",),
            "pacman": ("postgresql",),
            "brew": ("postgresql",),
        },
        folders=("/usr/lib/postgresql/*/bin", "/usr/libexec/postgresql*", "/usr/pgsql-*/bin"),
    ),
    "pgbouncer": Server(
        programs=("pgbouncer",),
        packages={
            "apt-get": ("pgbouncer",),
            "dnf": ("pgbouncer",),
            "apk": ("pgbouncer",),
            "pacman": ("pgbouncer",),
            "brew": ("pgbouncer",),
        },
        folders=("/usr/sbin",),
    ),
    "mariadb": Server(
        programs=("mariadbd", "mysqld"),
        packages={
            "apt-get": ("mariadb-server",),
            "dnf": ("mariadb-server",),
            "apk": ("mariadb",),
            "pacman": ("mariadb",),
            "brew": ("mariadb",),
        },
        folders=("/usr/sbin", "/usr/libexec"),
    ),
    "rabbitmq-server": Server(
        programs=("rabbitmq-server",),
        packages={
            "apt-get": ("rabbitmq-server",),
            "dnf": ("rabbitmq-server",),
            "apk": ("rabbitmq-server",),
            "pacman": ("rabbitmq",),
            "brew": ("rabbitmq",),
        },
        folders=("/usr/lib/rabbitmq/bin", "/usr/sbin"),
    ),
}

MANAGERS: Final[Mapping[str, Manager]] = {
    "apt-get": Manager(
        by_hand="apt-get install",
        install=("apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"),
        refresh=("apt-get", "update", "-q"),
    ),
    "dnf": Manager(by_hand="dnf install", install=("dnf", "install", "-y", "-q")),
    "apk": Manager(by_hand="apk add", install=("apk", "add", "--no-cache")),
    "pacman": Manager(by_hand="pacman -S", install=("pacman", "-Sy", "--noconfirm", "--needed")),
    "brew": Manager(by_hand="brew install", install=("brew", "install"), needs_root=False),
}


def ensure_server(name: str, *, path: str | None = None, root: bool | None = None) -> Path:
    """Return the path of a server's program; install the package if it is missing and may be installed.

    Args:
        name: a key of ``SERVERS``.
        path: where programs are looked for, in the form of PATH; by default PATH itself.
        root: whether packages may be installed for the whole system; by default, whether this is root.

    Raises:
        ServerMissingError: the name is unknown, or the program is missing and was not or could not be installed.
    """
    if name not in SERVERS:
        raise ServerMissingError(f"There is no server named {name!r} here; known are {', '.join(SERVERS)}.")
    server = SERVERS[name]
    path = os.environ.get("PATH", os.defpath) if path is None else path
    if found := find(server, path):
        return found
    name_of_manager = next((each for each in MANAGERS if shutil.which(each, path=path)), None)
    if name_of_manager is None:
        raise ServerMissingError(
            f"{name} is missing, and none of the package managers {', '.join(MANAGERS)} is here to install it. "
            f"Install {name} and put it on PATH."
        )
    manager, packages = MANAGERS[name_of_manager], server.packages[name_of_manager]
    by_hand = " ".join([manager.by_hand, *packages])
    if manager.needs_root and not (os.geteuid() == 0 if root is None else root):
        raise ServerMissingError(f"{name} is missing. Install the package {' '.join(packages)}: sudo {by_hand}")
    with _one_at_a_time():
        if not find(server, path):
            _install(manager, packages, path)
    if found := find(server, path):
        return found
    raise ServerMissingError(
        f"{name} is still missing after `{by_hand}` (its output is above). Install it by hand and put it on PATH."
    )


def find(server: Server, path: str) -> Path | None:
    """Return the program of a server, or None."""
    folders = [str(folder) for pattern in server.folders for folder in _newest_first(pattern)]
    for program in server.programs:
        if found := shutil.which(program, path=os.pathsep.join([path, *folders])):
            return Path(found)
    return None


def _newest_first(pattern: str) -> list[Path]:
    return sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def _install(manager: Manager, packages: Sequence[str], path: str) -> None:
    # What the package manager says goes to stderr (2): stdout is for the path of the program.
    print(f"Installing {' '.join(packages)}", file=sys.stderr, flush=True)
    env = {**os.environ, "PATH": path, "DEBIAN_FRONTEND": "noninteractive"}
    for command in filter(None, (manager.refresh, (*manager.install, *packages))):
        program = shutil.which(command[0], path=path) or command[0]
        subprocess.run((program, *command[1:]), env=env, stdin=subprocess.DEVNULL, stdout=2, check=False)


@contextmanager
def _one_at_a_time() -> Generator[None]:
    with (Path(tempfile.gettempdir()) / f"celeriac-install-{os.geteuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(argv: Sequence[str]) -> int:
    """Print the path of the program of each server named; return 1 with a sentence if one cannot be had."""
    if not argv:
        print(f"Name one or more of: {', '.join(SERVERS)}", file=sys.stderr)
        return 2
    try:
        for name in argv:
            print(ensure_server(name))
    except ServerMissingError as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
