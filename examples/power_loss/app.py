"""An importer of invoices. Each import is entered in a ledger, a file, so that one can count afterwards what ran."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celeriac import Celeriac

FOLDER = Path(os.environ.get("POWER_LOSS_DIR", "."))
STORE = os.environ.get("POWER_LOSS_STORE") or f"sqlite:///{FOLDER / 'queue.db'}"

app = Celeriac("power_loss", broker=STORE, backend=STORE)


def enter(word: str, invoice: int) -> None:
    """Add a line to the ledger: one write of one line, which a kill cannot tear apart."""
    ledger = os.open(FOLDER / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, f"{word} {invoice} {time.time():.3f}\n".encode())
    finally:
        os.close(ledger)


@app.task(bind=True)
def import_invoice(self: Any, invoice: int) -> int:
    """Import one invoice. Importing it again replaces what the first try left, so that a second run does no harm."""
    enter("started", invoice)
    time.sleep(0.3)
    enter("imported", invoice)
    return invoice
