"""What a kit's assertions take for equal, and what they say when they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from celeriac import Celeriac
from celeriac.testing import Kit

START = datetime(2030, 1, 1, tzinfo=UTC)
app = Celeriac("shop", broker="memory://assertion-tests", set_as_current=False)


@app.task(name="shop.order")
def order(product: str, quantity: int = 1, *, gift: bool = False, tags: Any = ()) -> str:
    return f"{quantity} {product}"


@app.task(name="shop.mail")
def mail(to: str) -> None:
    if to == "nobody":
        raise LookupError(to)


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit(app, now=START) as started:
        yield started


def message_of(assertion: Any, *args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        assertion(*args, **kwargs)
    return str(caught.value).splitlines()


def test_it_does_not_matter_how_an_argument_was_passed(kit: Kit) -> None:
    order.delay("apple", quantity=2)
    kit.assert_enqueued(order)
    kit.assert_enqueued("shop.order")
    kit.assert_enqueued(order, args=("apple", 2))
    kit.assert_enqueued(order, kwargs={"product": "apple", "quantity": 2})
    kit.assert_enqueued(order, args=["apple"], kwargs={"quantity": 2}, count=1)


def test_args_and_kwargs_are_all_arguments_and_where_are_some(kit: Kit) -> None:
    order.delay("apple", quantity=2, gift=True)
    kit.refute_enqueued(order, args=("apple",))
    kit.refute_enqueued(order, kwargs={"gift": True})
    kit.assert_enqueued(order, where={"gift": True})
    kit.assert_enqueued(order, where={"product": "apple", "quantity": 2})
    kit.refute_enqueued(order, where={"product": "pear"})
    kit.refute_enqueued(order, where={"tags": []})


def test_arguments_are_compared_as_a_worker_reads_them(kit: Kit) -> None:
    day = date(2030, 5, 1)
    order.delay("apple", tags=("red", {"picked": day}))
    kit.assert_enqueued(order, where={"tags": ("red", {"picked": day})})
    kit.assert_enqueued(order, where={"tags": ["red", {"picked": day}]})
    kit.assert_enqueued(order, args=(mock.ANY,), kwargs={"tags": mock.ANY})


def test_when_and_where_to_are_compared(kit: Kit) -> None:
    order.apply_async(("apple",), countdown=90, queue="fast", priority=7, expires=600)
    kit.assert_enqueued(order, countdown=90, queue="fast", priority=7)
    kit.assert_enqueued(order, countdown=timedelta(minutes=1.5))
    kit.assert_enqueued(
        order, eta=START + timedelta(seconds=90), expires=(START + timedelta(minutes=10)).replace(tzinfo=None)
    )
    kit.refute_enqueued(order, countdown=None)
    order.delay("pear")
    kit.assert_enqueued(order, countdown=None, args=("pear",))


def test_records_tell_of_calls(kit: Kit) -> None:
    sent = order.apply_async(("apple",), {"quantity": 3}, countdown=60, headers={"by": "ann"})
    kit.clock.advance(5)
    mail.delay("bob")
    one, two = kit.enqueued()
    assert (one.id, one.task, one.args, one.kwargs) == (sent.id, "shop.order", ("apple",), {"quantity": 3})
    assert (one.queue, one.priority, one.countdown, one.headers) == ("celery", 0, 60, {"by": "ann"})
    assert (one.eta, one.expires, one.at) == (START + timedelta(seconds=60), None, START)
    assert (two.eta, two.countdown, two.at) == (None, None, START + timedelta(seconds=5))
    assert repr(one) == "<shop.order('apple', quantity=3) queue='celery' countdown=60>"


def test_waiting_is_what_is_not_over(kit: Kit) -> None:
    order.delay("apple")
    order.apply_async(("pear",), countdown=60)
    kit.drain()
    assert [one.args for one in kit.waiting(order)] == [("pear",)]
    assert len(kit.enqueued(order)) == 2
    kit.clear()
    assert kit.enqueued() == []
    assert kit.ran() == []
    assert kit.waiting(order) == []
    assert len(kit.finish()) == 1


def test_a_failure_shows_the_nearest_calls_and_what_differs(kit: Kit) -> None:
    order.delay("pear", 2)
    order.delay("apple", 2, gift=True)
    order.apply_async(("apple", 2), queue="slow")
    mail.delay("bob")
    assert message_of(kit.assert_enqueued, order, args=("apple", 2), queue="fast") == [
        "shop.order with args=('apple', 2), queue='fast' was not enqueued.",
        "3 of that name were enqueued; the nearest:",
        "  <shop.order('apple', 2) queue='slow'>",
        "    queue is 'slow', not 'fast'",
        "  <shop.order('pear', 2) queue='celery'>",
        "    product is 'pear', not 'apple'; queue is 'celery', not 'fast'",
        "  <shop.order('apple', 2, gift=True) queue='celery'>",
        "    gift is True, and should not be given; queue is 'celery', not 'fast'",
    ]


def test_a_failure_says_what_was_sent_instead(kit: Kit) -> None:
    assert message_of(kit.assert_enqueued, order) == ["shop.order was not enqueued.", "Nothing was enqueued."]
    mail.delay("bob")
    mail.delay("ann")
    assert message_of(kit.assert_enqueued, order) == [
        "shop.order was not enqueued.",
        "None of that name was enqueued; there were: shop.mail (2).",
    ]
    assert message_of(kit.assert_enqueued, mail, count=1)[0] == "shop.mail was not enqueued 1 times but 2."


def test_a_refuted_call_is_shown(kit: Kit) -> None:
    mail.delay("bob")
    assert message_of(kit.refute_enqueued, mail, where={"to": "bob"}) == [
        "shop.mail with to='bob' was enqueued, and should not be:",
        "  <shop.mail('bob') queue='celery'>",
    ]
    kit.drain()
    assert message_of(kit.refute_ran, mail)[1:] == ["  <shop.mail('bob') SUCCESS None>"]


def test_runs_are_shown_with_how_they_ended(kit: Kit) -> None:
    mail.delay("nobody")
    kit.drain(raises=False)
    kit.assert_ran(mail, state="FAILURE", exception=LookupError)
    assert message_of(kit.assert_ran, mail, state="SUCCESS") == [
        "shop.mail with state='SUCCESS' was not run.",
        "1 of that name was run; the nearest:",
        "  <shop.mail('nobody') FAILURE LookupError('nobody')>",
        "    state is 'FAILURE', not 'SUCCESS'",
    ]


def test_where_nothing_ran_the_failure_says_what_runs_tasks(kit: Kit) -> None:
    mail.delay("bob")
    assert message_of(kit.assert_ran, mail) == [
        "shop.mail was not run.",
        "Nothing was run: drain() runs what is due, advance() and finish() also what is due later.",
    ]


@pytest.mark.parametrize("check", [Kit.assert_ran, Kit.refute_ran, Kit.ran])
def test_a_state_in_which_no_run_ends_is_refused(kit: Kit, check: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=r"can end in state 'FAILED': did you mean 'FAILURE'\?"):
        check(kit, mail, state="FAILED")


def test_what_cannot_be_expected_is_said_at_once(kit: Kit) -> None:
    with pytest.raises(TypeError, match=r"'queues' cannot be expected of task 'shop\.order'.*'queue'"):
        kit.assert_enqueued(order, queues="fast")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="expected a task or the name of one, not 3"):
        kit.refute_enqueued(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_signature_is_refused_since_its_arguments_would_be_overlooked(kit: Kit) -> None:
    order.delay("apple")
    with pytest.raises(TypeError, match=r"expected a task or the name of one, not shop\.order\('pear'\)"):
        kit.assert_enqueued(order.s("pear"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
