"""An order: ask all suppliers at once, take the best offer, reserve it, write the invoice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celeriac import Celeriac, Signature, chord, group

FOLDER = Path(os.environ.get("ORDERS_DIR", "."))
STORE = os.environ.get("ORDERS_STORE") or f"sqlite:///{FOLDER / 'queue.db'}"
PRICES = {"Ann": 120, "Ben": 110, "Cleo": 100}
BRANCHES = {"Ben": ["Ben & Sons"]}

app = Celeriac("orders", broker=STORE, backend=STORE)


@app.task(bind=True)
def ask(self: Any, supplier: str, product: str) -> tuple[int, str]:
    """Ask a supplier for an offer; one with branches has them asked, too."""
    for branch in BRANCHES.get(supplier, ()):
        self.add_to_chord(ask.s(branch, product))
    return PRICES.get(supplier, 105), supplier


@app.task
def cheapest(offers: list[tuple[int, str]]) -> tuple[int, str]:
    """Return the best of the offers."""
    return min(offers)


@app.task
def reserve(offer: tuple[int, str], product: str) -> tuple[int, str]:
    """Reserve the product. Needs the warehouse, which is open once there is a file of that name."""
    if not (FOLDER / "warehouse").exists():
        raise ConnectionError("the warehouse does not answer")
    note(f"reserved {product} at {offer[1]}")
    return offer


@app.task
def invoice(offer: tuple[int, str], customer: str) -> str:
    """Write the invoice."""
    note(f"invoice for {customer}")
    return f"{customer} owes {offer[0]} to {offer[1]}"


@app.task
def apologise(request: Any, error: BaseException, traceback: str, customer: str) -> None:
    """Tell the customer that it takes longer."""
    note(f"dear {customer}, your order takes longer: {error}")


def note(line: str) -> None:
    """Write down what was done."""
    with (FOLDER / "notes").open("a") as notes:
        notes.write(f"{line}\n")


def order(product: str, customer: str) -> Signature:
    """Return the workflow of one order."""
    offers = group(ask.s(supplier, product) for supplier in PRICES)
    reserved = reserve.s(product).on_error(apologise.s(customer))
    whole: Signature = chord(offers, cheapest.s()) | reserved | invoice.s(customer)
    return whole
