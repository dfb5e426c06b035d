"""Tests of the shop: no server, no worker, no sleep, and weeks that take milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from celeriac.errors import WorkerLostError
from celeriac.testing import Kit
from examples.tested import shop


@pytest.fixture(autouse=True)
def a_new_day() -> None:
    """Begin each test with full shelves, an open bank and no mails."""
    shop.stock.update(apple=5, pear=0)
    shop.mails.clear()
    shop.paid.clear()
    shop.bank_is_open = True


def test_an_order_is_paid_first(celeriac_kit: Kit) -> None:
    shop.place_order("o1", "ann", ["apple", "pear"])
    celeriac_kit.assert_enqueued(shop.pay, args=("o1",), countdown=None)
    celeriac_kit.refute_enqueued(shop.pack)


def test_an_order_is_packed_and_mailed(celeriac_kit: Kit) -> None:
    shop.place_order("o1", "ann", ["apple", "pear"])
    celeriac_kit.drain()
    celeriac_kit.assert_ran(shop.pack, count=2)
    assert shop.mails == [("ann", "in your box: apple, no pear")]


def test_customers_are_asked_three_days_later(celeriac_kit: Kit) -> None:
    shop.place_order("o1", "ann", ["apple"])
    celeriac_kit.assert_enqueued(shop.remind, where={"customer": "ann"}, countdown=timedelta(days=3), priority=1)
    celeriac_kit.advance(timedelta(days=2))
    assert len(shop.mails) == 1
    celeriac_kit.advance(timedelta(days=1))
    assert shop.mails[-1] == ("ann", "how was order o1?")


def test_a_closed_bank_is_asked_again_until_it_opens(celeriac_kit: Kit) -> None:
    shop.bank_is_open = False
    shop.place_order("o1", "ann", ["apple"])
    celeriac_kit.advance(timedelta(hours=24))
    celeriac_kit.assert_ran(shop.pay, state="RETRY", exception=shop.BankClosed, retries=5)
    assert not shop.mails
    shop.bank_is_open = True
    celeriac_kit.advance(timedelta(hours=1))
    celeriac_kit.assert_ran(shop.pay, state="SUCCESS", count=1)
    assert shop.paid == {"o1"}


def test_to_pay_twice_is_to_pay_once(celeriac_kit: Kit) -> None:
    celeriac_kit.kill_after(shop.pay)
    shop.place_order("o1", "ann", ["apple"])
    celeriac_kit.drain()
    celeriac_kit.assert_ran(shop.pay, count=2)
    assert shop.paid == {"o1"}


def test_no_mail_is_sent_twice(celeriac_kit: Kit) -> None:
    celeriac_kit.kill_after(shop.send_mail)
    shop.place_order("o1", "ann", ["apple"])
    with pytest.raises(WorkerLostError):
        celeriac_kit.drain()
    assert len(shop.mails) == 1


@pytest.mark.celeriac(beat=True, now=datetime(2030, 1, 1, tzinfo=UTC))
def test_shelves_are_filled_each_monday(celeriac_kit: Kit) -> None:
    celeriac_kit.drain(until=datetime(2030, 2, 1, tzinfo=UTC))
    assert [run.at.day for run in celeriac_kit.ran(shop.restock)] == [7, 14, 21, 28]
    assert shop.stock["pear"] == 5
