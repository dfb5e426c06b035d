"""A small shop: an order is paid, packed and mailed by tasks; what does not work out is tried again for days."""

from __future__ import annotations

from celeriac import Celeriac, chain, chord
from celeriac.schedules import crontab

app = Celeriac("shop", broker="redis://localhost/0", backend="redis://localhost/0")

stock = {"apple": 5, "pear": 0}
mails: list[tuple[str, str]] = []
paid: set[str] = set()
bank_is_open = True


class BankClosed(Exception):
    """Try again later."""


def place_order(order: str, customer: str, products: list[str]) -> None:
    """What a web view calls."""
    packed = chord([pack.si(product) for product in products], summary.s())
    chain(pay.si(order), packed, send_mail.s(customer)).apply_async()
    remind.apply_async((order, customer), countdown=3 * 86400, priority=1)


@app.task(autoretry_for=(BankClosed,), max_retries=None, retry_backoff=60, retry_backoff_max=3600, retry_jitter=False)
def pay(order: str) -> None:
    """Take the money, once, however often this runs."""
    if not bank_is_open:
        raise BankClosed(order)
    paid.add(order)


@app.task
def pack(product: str) -> str:
    """Put a product into the box."""
    if not stock[product]:
        return f"no {product}"
    stock[product] -= 1
    return product


@app.task
def summary(packed: list[str]) -> str:
    """Return the text of the mail."""
    return f"in your box: {', '.join(packed)}"


@app.task(acks_late=False)
def send_mail(text: str, customer: str) -> None:
    """Send a mail. Two would be worse than none, so it is at-most-once."""
    mails.append((customer, text))


@app.task
async def remind(order: str, customer: str) -> None:
    """Ask how it was."""
    mails.append((customer, f"how was order {order}?"))


@app.task
def restock() -> None:
    """Fill the shelves."""
    stock.update(apple=5, pear=5)


app.conf.beat_schedule = {
    "restock": {"task": restock.name, "schedule": crontab(day_of_week="mon", hour="6", minute="0")}
}
