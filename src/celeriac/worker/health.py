"""Whether the worker does its work, told to probes by a file and over HTTP.

Both are true only if every child has claimed with success within the watchdog's time (a child whose tasks keep every
slot busy counts: it has no need to claim) and the leases are renewed. The file is touched each second while that
holds, so its age says for how long it has not; the HTTP probe answers 200 or 503 with the reason as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.errors import ImproperlyConfigured
from celeriac.events.backoff import LONGEST

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler


class Health(msgspec.Struct, frozen=True):
    """The state of a worker, or of a relay by itself.

    Attributes:
        ok: It does its work.
        problems: Why not, in words.
        children: Number of child processes that claim; None where there can be none.
        runs: Tasks run so far by the present children; likewise.
        outbox: How the outbox stands that it empties, or stands by to; None without one.
        notes: What somebody should look at, and keeps the worker from nothing: bad schedule entries; None if
            nothing does.
    """

    ok: bool
    problems: tuple[str, ...] = ()
    children: int | None = 0
    runs: int | None = 0
    outbox: dict[str, Any] | None = None
    notes: tuple[str, ...] | None = None


class HealthFile:
    """The file that is touched while the worker is healthy; it is gone when the worker has ended."""

    def __init__(self, path: str, said: str = "--health-file, or setting worker_health_file,") -> None:
        """Raises ImproperlyConfigured if the file cannot be written; ``said``: where its path was given."""
        self._path = Path(path)
        try:
            self._path.unlink(missing_ok=True)
            self._path.touch()
            self._path.unlink()
        except OSError as exc:
            raise ImproperlyConfigured(f"{said} {path!r} cannot be written: {exc.strerror or exc}") from exc

    def update(self, health: Health) -> None:
        """Write the file if the worker is healthy. What cannot be written grows old, and that says enough."""
        if health.ok:
            with contextlib.suppress(OSError):
                self.write()

    def write(self) -> None:
        """Write the process id into the file, which also touches it."""
        self._path.write_text(f"{os.getpid()}\n")

    def remove(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self._path.unlink()


class HealthBeat:
    """Keeps the file up to date where no supervisor's main loop does: a service of the keeper."""

    name = "health file"
    longest_backoff = LONGEST

    def __init__(self, file: HealthFile, look: Callable[[], Health]) -> None:
        self._file = file
        self._look = look

    def tick(self) -> float:
        """Look once."""
        self._file.update(self._look())
        return 1.0


class HealthServer:
    """The HTTP probe, on 127.0.0.1."""

    def __init__(
        self, port: int, look: Callable[[], Health], said: str = "--health-port, or setting worker_health_port,"
    ) -> None:
        """Listen; raises ImproperlyConfigured if the port is taken; ``said``: where it was given."""
        import http.server  # A megabyte of modules, which few need.

        try:
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler(look))
        except OSError as exc:
            raise ImproperlyConfigured(f"{said} {port} cannot be used: {exc.strerror or exc}") from exc
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="celeriac-health", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _handler(look: Callable[[], Health]) -> type[BaseHTTPRequestHandler]:
    """Return what answers a request."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            health = look()
            told = {name: value for name, value in msgspec.structs.asdict(health).items() if value is not None}
            body = json.dumps(told).encode()
            self.send_response(200 if health.ok else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes are not worth a line each."""

    return Handler
