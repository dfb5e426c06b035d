"""Reports, of which one kills the process that renders it, and letters, which must not be sent twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from celeriac import Celeriac

FOLDER = Path(os.environ.get("POISON_DIR", "."))
STORE = os.environ.get("POISON_STORE") or f"sqlite:///{FOLDER / 'queue.db'}"

app = Celeriac("poison", broker=STORE, backend=STORE)


@app.task
def render(report: str) -> str:
    """Render a report. The one called "huge" needs more memory than there is, and the system kills the process."""
    if report == "huge":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{report}.pdf"


@app.task(acks_late=False)
def send_letter(address: str) -> None:
    """Send a letter; the process is killed when it is half-way. Nobody can know whether the letter left the house."""
    os.kill(os.getpid(), signal.SIGKILL)
