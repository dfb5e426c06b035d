"""Private PostgreSQL servers for tests, as context managers: a cluster on a free port, in a folder of its own, ended
by its own pid. They run as another user where this is root, which PostgreSQL refuses to run as.

    with PostgresServer() as server:
        app = Celeriac(broker=server.url(schema="mine"))
        server.kill()
        server.start()

The variable ``CELERIAC_POSTGRES_BIN`` names a folder with the programs of another version.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import psutil
import psycopg

from scripts.ensure_server import ensure_server
from tests.support.servers import free_port
from tests.support.waiting import wait_for

READY_WITHIN: Final = 30.0
STOPS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


def folder_of_programs() -> Path:
    """Return the folder of PostgreSQL's programs; installed if they are missing."""
    named = os.environ.get("CELERIAC_POSTGRES_BIN")
    return Path(named) if named else ensure_server("postgres").resolve().parent


class PostgresServer:
    """One server with an empty database ``test`` and the user ``tester``, whom it trusts.

    Args:
        durable: Wait for the disk at each commit, as PostgreSQL does by default. False is quicker, and loses nothing
            unless the machine dies.
        password: What a client must give; None trusts everybody.
        settings: Further settings, for instance ``{"max_connections": "10"}``.
        copy_of: A server to be a standby of.

    Attributes:
        folder: Its files; removed when it is closed.
        port: The same in all its lives.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
        copy_of: PostgresServer | None = None,
    ) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="celeriac-postgres-"))
        self.port: Final = free_port()
        self.password: Final = password
        self._programs: Final = folder_of_programs()
        self._process: subprocess.Popen[Any] | None = None
        self._copy_of: Final = copy_of
        self._settings: Final = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if durable else "off",
            "max_connections": "100",
            "shared_buffers": "32MB",
            "log_destination": "stderr",
            "lc_messages": "C",
            **(settings or {}),
        }
        self._user: Final = _other_user() if os.geteuid() == 0 else None

    def make(self) -> None:
        """Make its files."""
        data = self.folder / "data"
        self.give(self.folder)
        if self._copy_of is None:
            secret = self.folder / "password"
            secret.write_text(self.password or "")
            secret.chmod(0o644)
            how = ("--auth=scram-sha-256", f"--pwfile={secret}") if self.password else ("--auth=trust",)
            self._run("initdb", "-D", data, "-U", "tester", "-E", "UTF8", "--locale=C", "--no-sync", *how)
        else:
            source = f"host=127.0.0.1 port={self._copy_of.port} user=tester"
            self._run("pg_basebackup", "-D", data, "-d", source, "-R", "-X", "stream", "--no-sync", "-c", "fast")
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._process is None, "the server runs already"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (self._programs / "postgres", "-D", self.folder / "data"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **self._as_other(),
            )
        wait_for(self._answers, READY_WITHIN, f"an answer of {self.folder}\n{self.log}")

    def stop(self, how: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """End it, and wait; ``immediate`` is a crash of which it recovers at the next start."""
        self.resume()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(STOPS[how])
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def restart(self, how: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """End it and start it again."""
        self.stop(how)
        self.start()

    def kill(self) -> None:
        """End all of its processes at once (SIGKILL): what they had not handed to the system is gone."""
        family = self.pause()
        process, self._process = self._process, None
        if process is None:
            return
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait(10)
        # They hold the memory that the next server wants for itself. Nobody has to collect those whose parent is gone.
        wait_for(lambda: not any(map(_lives, family)), 10, "the end of all processes of the server")

    def pause(self) -> list[psutil.Process]:
        """Stop all of its processes in their tracks (SIGSTOP), and return them."""
        if self._process is None:
            return []
        first = psutil.Process(self._process.pid)
        first.suspend()  # From now on there are no new ones.
        family = [first, *first.children(recursive=True)]
        for one in family[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
        return family

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                first = psutil.Process(self._process.pid)
                for one in [*first.children(recursive=True), first]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.resume()

    def wipe(self) -> None:
        """Give it empty files instead of those it had; it must not run."""
        assert self._process is None, "the server runs"
        shutil.rmtree(self.folder / "data")
        self.make()
        # Before it can be reached: nobody finds a server without the database.
        alone = (self._programs / "postgres", "--single", "-D", self.folder / "data", "postgres")
        subprocess.run(
            alone, input=b"CREATE DATABASE test\n", capture_output=True, cwd="/", check=True, **self._as_other()
        )

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "promote", "-D", self.folder / "data", "-w")

    def close(self) -> None:
        """End it and remove its files. Safe to call twice."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.make()
            self._first_start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _first_start(self) -> None:
        self.start()
        if self._copy_of is None:
            self.ask("CREATE DATABASE test", database="postgres")

    # What tests ask of it

    def url(self, *, database: str = "test", schema: str = "celeriac", **more: str) -> str:
        """Return what to pass as ``broker``."""
        secret = f":{self.password}" if self.password else ""
        query = "&".join(f"{name}={value}" for name, value in {"schema": schema, **more}.items())
        return f"postgresql://tester{secret}@127.0.0.1:{self.port}/{database}?{query}"

    def connect(self, database: str = "test") -> psycopg.Connection[Any]:
        """Return a connection of one's own, past Celeriac."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="tester", dbname=database, password=self.password, autocommit=True
        )

    def ask(self, sql: str, *parameters: Any, database: str = "test") -> list[tuple[Any, ...]]:
        """Return the rows of one statement."""
        with contextlib.closing(self.connect(database)) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    @contextlib.contextmanager
    def schema(self) -> Iterator[str]:
        """Lend the name of a schema that is not there yet, and drop it after."""
        name = f"s{os.urandom(6).hex()}"
        try:
            yield name
        finally:
            self.ask(f'SET client_min_messages = error; DROP SCHEMA IF EXISTS "{name}" CASCADE')

    def backends(self) -> list[tuple[int, str]]:
        """Return the pid and application of each connection of others to the database ``test``."""
        rows = self.ask(
            "SELECT pid, application_name FROM pg_stat_activity"
            " WHERE datname = 'test' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return [(pid, name) for pid, name in rows]

    @property
    def pid(self) -> int:
        """The pid of its first process."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        """The end of what it logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else "it logged nothing"

    def _answers(self) -> bool:
        process = self._process
        assert process is not None
        assert process.poll() is None, f"the server ended with {process.poll()}:\n{self.log}"
        try:
            with contextlib.closing(self.connect("postgres")):
                return True
        except psycopg.OperationalError:
            return False

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = (self._programs / program, *arguments)
        done = subprocess.run(command, capture_output=True, cwd="/", check=False, **self._as_other())
        assert done.returncode == 0, f"{program}: {done.stdout.decode()}\n{done.stderr.decode()}"

    def give(self, folder: Path) -> None:
        """Make the user as whom it runs the owner of a folder."""
        if self._user is not None:
            shutil.chown(folder, self._user)

    def _as_other(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _other_user() -> str:
    """Return a user to run as instead of root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise AssertionError("PostgreSQL does not run as root, and there is no user postgres or nobody")
