"""Schedule entries of an app with keys: what a store could forge is refused, and what is sent is sealed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.sealed import SealedDriver
from celeriac.core.clock import SYSTEM
from celeriac.core.message import Message
from celeriac.core.scheduled import Firing, StoredEntry, Writing
from celeriac.core.security import Guard

Broker = SyncBroker[Any, Any]


def guard(*, encrypts: bool = True) -> Guard:
    return Guard(signing={"s": b"k" * 32}, encryption={"e": b"e" * 32} if encrypts else {}, window=None)


@pytest.fixture
def bare() -> Iterator[Broker]:
    with SyncBroker(connect(f"memory://{uuid.uuid4()}")) as found:
        yield found


@pytest.fixture
def sealed(bare: Broker) -> Broker:
    return SyncBroker(SealedDriver(bare._driver, guard(), SYSTEM))


ENTRY = StoredEntry(name="e", body=b"secret body", edition=7, due=5.0, state=b"s")


def test_an_entry_is_hidden_in_the_store_and_comes_back_as_it_was(bare: Broker, sealed: Broker) -> None:
    assert sealed.put_entries([Writing(ENTRY)]) == ()
    (kept,) = bare.get_entries(["e"])
    assert kept.seal is not None
    assert b"secret" not in kept.body
    assert (kept.due, kept.state) == (5.0, b"s")
    for found in (sealed.get_entries(["e"]), sealed.page_entries("", 10)):
        assert [msgspec.structs.replace(one, seal=None) for one in found] == [ENTRY]


def test_an_entry_that_was_forged_moved_or_changed_is_refused(bare: Broker, sealed: Broker) -> None:
    sealed.put_entries([Writing(ENTRY)])
    (kept,) = bare.get_entries(["e"])
    forged = [
        StoredEntry(name="plain", body=b"x", edition=1),
        msgspec.structs.replace(kept, name="moved"),
        msgspec.structs.replace(kept, name="e2", edition=8),
        msgspec.structs.replace(kept, name="e3", body=b"changed"),
    ]
    bare.put_entries([Writing(one) for one in forged])
    found = {one.name: one.refused for one in sealed.page_entries("", 10)}
    assert found.pop("e") is None
    assert len(found) == 4
    assert all(found.values())


def test_its_due_time_and_state_change_without_the_seal(sealed: Broker) -> None:
    sealed.put_entries([Writing(ENTRY)])
    assert sealed.fire_entries([Firing("e", 7, 5.0, 9.0, b"t")]) == ()
    (found,) = sealed.get_entries(["e"])
    assert (found.due, found.state, found.refused) == (9.0, b"t", None)


def test_what_it_sends_is_sealed(bare: Broker, sealed: Broker) -> None:
    sealed.put_entries([Writing(ENTRY)])
    sealed.fire_entries([Firing("e", 7, 5.0, None, b"", (Message(id="m", task="t"),))])
    (record,) = bare.get(["m"])
    assert record.message is not None
    assert record.message.seal is not None
    (opened,) = sealed.get(["m"])
    assert opened.refused is None
