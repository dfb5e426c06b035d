"""Private MariaDB servers for tests, as context managers: on a free port, in a folder of their own, ended by their pid.

with MariadbServer() as server:
    app = Celeriac(broker=..., backend=server.url())
    server.kill()
    server.start()
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import pymysql

from scripts.ensure_server import ensure_server
from tests.support.servers import free_port
from tests.support.waiting import wait_for

READY_WITHIN: Final = 30.0


ROOM: Final = 1024 * 1024 * 1024
"""Bytes that must be free in memory for a server's files to be there; on disk, making them takes long on a busy one."""


def _in_memory() -> str | None:
    """Return a folder whose files are in memory; None if there is none, or too little room."""
    place = "/dev/shm"
    if not os.access(place, os.W_OK) or shutil.disk_usage(place).free < ROOM:
        return None
    return place


class MariadbServer:
    """One server with an empty database ``test``; the user ``tester`` may do anything.

    Args:
        password: What ``tester`` must give; None trusts everybody.
        settings: Further settings, for instance ``{"max-allowed-packet": "4M"}``.

    Attributes:
        folder: Its files; removed when it is closed.
        port: The same in all its lives.
    """

    def __init__(self, *, password: str | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="celeriac-mariadb-", dir=_in_memory()))
        self.port: Final = free_port()
        self.password: Final = password
        self._program: Final = ensure_server("mariadb")
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: Final = {
            "datadir": str(self.folder / "data"),
            "port": str(self.port),
            "bind-address": "127.0.0.1",
            # A server that starts removes the temporary tables that it finds in its folder, whosever they are.
            "tmpdir": str(self.folder),
            "socket": str(self.folder / "socket"),
            "pid-file": str(self.folder / "pid"),
            "log-error": str(self.folder / "log"),
            "innodb-buffer-pool-size": "32M",
            "innodb-log-file-size": "16M",
            # A process that ends loses nothing; this machine is not going to lose power.
            "innodb-flush-log-at-trx-commit": "2",
            "skip-log-bin": "1",
            "skip-name-resolve": "1",
            "lc-messages": "en_US",
            **({"user": "root"} if os.geteuid() == 0 else {}),
            **(settings or {}),
        }

    def make(self) -> None:
        """Make its files."""
        install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
        assert install is not None, "the package of the server has no mariadb-install-db"
        owner = [f"--user={self._settings['user']}"] if "user" in self._settings else []
        command = [install, "--no-defaults", f"--datadir={self.folder / 'data'}", *owner]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M"]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TMPDIR": str(self.folder)})

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._process is None, "the server runs already"
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        self._process = subprocess.Popen(
            (str(self._program), "--no-defaults", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, READY_WITHIN, f"an answer of {self.folder}")

    def connect(self, database: str | None = None, **options: Any) -> Any:
        """Return a connection of root's, each of whose statements is a transaction."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True, **options
        )

    def run(self, *statements: str) -> list[Any]:
        """Have root carry out statements; return the rows of the last."""
        connection = self.connect()
        with contextlib.closing(connection), connection.cursor() as cursor:
            for one in statements:
                cursor.execute(one)
            return list(cursor.fetchall())

    def url(self, database: str = "test", **parameters: object) -> str:
        """Return the URL of a database on it, for a result backend."""
        login = "tester" if self.password is None else f"tester:{self.password}"
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"db+mysql+pymysql://{login}@127.0.0.1:{self.port}/{database}" + (f"?{query}" if query else "")

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have it stand still (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on (SIGCONT)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its files. Safe to call twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
            user = "'tester'@'%'"
            secret = f" IDENTIFIED BY '{self.password}'" if self.password else ""
            self.run(f"CREATE USER {user}{secret}", f"GRANT ALL ON *.* TO {user}", "CREATE DATABASE test")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            self.connect().close()
        except pymysql.Error:
            return False
        return True

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
