"""The SQLite operations driven by hand: what they ask for, without a database."""

import pytest

from celeriac.brokers.sql.requests import Many, Statement, Transaction, for_items
from celeriac.brokers.sqlite.operations import SqliteOperations
from celeriac.core.message import Lease, Message, Settlement, pack
from celeriac.errors import InvalidTaskError

OPERATIONS = SqliteOperations()


def test_a_claim_that_sees_nothing_does_not_ask_to_write() -> None:
    claim = OPERATIONS.claim(["a", "b"], 10, "w", 30.0)
    looked = next(claim)
    assert looked.writes is False
    with pytest.raises(StopIteration) as stop:
        claim.send([[(0, None, 0)]])
    assert stop.value.value == []


def test_a_claim_sorts_what_comes_in_no_order() -> None:
    claim = OPERATIONS.claim(["a"], 10, "w", 30.0)
    next(claim)
    asked = claim.send([[(0, None, 1)]])
    assert asked.writes is True
    rows = [
        (p, s, f"t{s}", 1, 0, 0, 0, pack(Message(id=f"t{s}", task="t"))) for p, s in [(0, 1), (5, 3), (0, 0), (5, 2)]
    ]
    with pytest.raises(StopIteration) as stop:
        claim.send([rows, []])
    assert [delivery.lease.id for delivery in stop.value.value] == ["t2", "t3", "t0", "t1"]


def test_one_message_is_one_statement() -> None:
    request = next(OPERATIONS.enqueue([Message(id="a", task="t")]))
    assert [type(step) for step in request.steps] == [Statement]


def test_many_settlements_of_one_owner_are_few_statements() -> None:
    settlements = [Settlement(lease=Lease(f"t{n}", "w", 1, n), action="done") for n in range(500)]
    request = next(OPERATIONS.settle(settlements))
    assert len(request.steps) == 3  # Who holds them, how many of which task, and away with them.


def test_a_repeated_settlement_is_carried_out_once_and_reported() -> None:
    settlement = Settlement(lease=Lease("a", "w", 1, 7), action="done")
    settle = OPERATIONS.settle([settlement, settlement])
    next(settle)
    with pytest.raises(StopIteration) as stop:
        settle.send([[(7, "a", 1, "w")], [], []])
    assert stop.value.value == ("a",)


def test_a_settlement_with_another_task_s_message_is_refused() -> None:
    wrong = Settlement(lease=Lease("a", "w", 1, 7), action="retry", message=Message(id="b", task="t"), due=1.0)
    with pytest.raises(InvalidTaskError, match="'a' cannot be settled with a message of another id, 'b'"):
        next(OPERATIONS.settle([wrong]))


def test_a_batch_with_one_bad_message_asks_nothing() -> None:
    with pytest.raises(InvalidTaskError, match="priority"):
        next(OPERATIONS.enqueue([Message(id="a", task="t"), Message(id="b", task="t", priority=10)]))


def test_a_list_is_padded_to_few_lengths() -> None:
    lengths = {len(for_items("IN (?/*items*/)", range(count)).parameters) for count in range(1, 501)}
    assert lengths == {1, 2, 5, 10, 20, 50, 100, 200, 500}
    statement = for_items("x = ?1 AND y IN (?/*items*/)", ["a", "b", "c"], "before")
    assert statement == Statement("x = ?1 AND y IN (?, ?, ?, ?, ?)", ("before", "a", "b", "c", "c", "c"))
    assert for_items("VALUES (?)/*rows*/", ["a", "b"]) == Statement("VALUES (?), (?)", ("a", "b"))


def test_requests_are_plain_values() -> None:
    request = Transaction((Statement("SELECT 1"), Many("DELETE FROM x WHERE y = ?", [(1,)])))
    assert request == Transaction((Statement("SELECT 1", ()), Many("DELETE FROM x WHERE y = ?", [(1,)])), writes=True)
