"""A private PgBouncer before a private PostgreSQL server, in transaction mode."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import psycopg

from scripts.ensure_server import ensure_server
from tests.support.postgres import PostgresServer
from tests.support.servers import free_port
from tests.support.waiting import wait_for


class PgBouncer:
    """Pools connections by transaction.

    Args:
        server: Where it leads to.
        size: Connections to the server that all clients share.
    """

    def __init__(self, server: PostgresServer, size: int = 3) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="celeriac-pgbouncer-"))
        self.port: Final = free_port()
        self._process: subprocess.Popen[Any] | None = None
        self._config: Final = self.folder / "pgbouncer.ini"
        self._config.write_text(
            f"[databases]\ntest = host=127.0.0.1 port={server.port} dbname=test user=tester\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {size}\n"
        )

    def __enter__(self) -> Self:
        program = ensure_server("pgbouncer")
        other: dict[str, Any] = {}
        if os.geteuid() == 0:  # It does not run as root.
            user = pwd.getpwnam("nobody")
            shutil.chown(self.folder, user.pw_uid)
            other = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                (program, self._config), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **other
            )
        wait_for(self._answers, 20, "an answer of PgBouncer")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, schema: str, **more: str) -> str:
        """Return what to pass as ``broker``."""
        query = "&".join(f"{name}={value}" for name, value in {"schema": schema, **more}.items())
        return f"postgresql://tester@127.0.0.1:{self.port}/test?{query}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user="tester", dbname="test").close()
        except psycopg.OperationalError:
            return False
        return True
