"""Connecting to signals, and what a receiver can do wrong."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from celeriac import signals
from celeriac.errors import CeleriacWarning
from celeriac.events.signal import RETRY_PAUSES, Signal


@pytest.fixture
def heard() -> list[Any]:
    return []


@pytest.fixture
def signal() -> Signal:
    return Signal("it")


def test_a_receiver_gets_sender_signal_and_arguments(signal: Signal) -> None:
    @signal.connect
    def receiver(**named: Any) -> Any:
        return named

    assert signal.send("me", x=1) == [(receiver, {"signal": signal, "sender": "me", "x": 1})]


def test_receivers_are_called_in_the_order_in_which_they_were_connected(signal: Signal, heard: list[Any]) -> None:
    for number in range(5):
        signal.connect(lambda number=number, **_: heard.append(number), weak=False)
    signal.send(None)
    assert heard == list(range(5))


def test_a_sender_is_compared_as_a_name_and_as_an_object(signal: Signal, heard: list[Any]) -> None:
    task = object()
    signal.connect(lambda sender, **_: heard.append(("name", sender)), sender="".join(["ta", "sk"]), weak=False)
    signal.connect(lambda sender, **_: heard.append(("object", sender)), sender=task, weak=False)
    for sender in ("task", task, "other", object(), None):
        signal.send(sender)
    assert heard == [("name", "task"), ("object", task)]
    assert signal.has_listeners("task")
    assert not signal.has_listeners("other")


def test_weak_receivers_go_with_their_owner(signal: Signal) -> None:
    class Owner:
        def method(self, **_: Any) -> str:
            return "method"

    owner = Owner()
    signal.connect(owner.method)
    assert [value for _, value in signal.send(None)] == ["method"]
    del owner
    gc.collect()
    assert not signal.receivers
    signal.connect(lambda **_: "gone")
    gc.collect()
    assert signal.send(None) == []
    signal.connect(lambda **_: "stays", weak=False)
    gc.collect()
    assert [value for _, value in signal.send(None)] == ["stays"]


def test_one_dispatch_uid_connects_once_for_each_sender(signal: Signal) -> None:
    for _ in range(3):
        signal.connect(lambda **_: 1, weak=False, dispatch_uid="mine")
    signal.connect(lambda **_: 2, weak=False, dispatch_uid="mine", sender="s")
    assert [value for _, value in signal.send("s")] == [1, 2]
    assert signal.disconnect(dispatch_uid="mine")
    assert not signal.disconnect(dispatch_uid="mine")
    assert [value for _, value in signal.send("s")] == [2]


def test_the_same_function_is_connected_once_and_disconnected(signal: Signal) -> None:
    def receiver(**_: Any) -> None: ...

    signal.connect(receiver)
    signal.connect(sender=None)(receiver)
    assert len(signal.receivers) == 1
    assert signal.disconnect(receiver)
    assert not signal.receivers


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_one_that_raises_is_logged_and_harms_nobody(
    signal: Signal, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def bad(**_: Any) -> None:
        raise error

    def good(**_: Any) -> str:
        return "good"

    signal.connect(bad)
    signal.connect(good)
    with caplog.at_level(logging.ERROR):
        assert signal.send(None) == [(bad, error), (good, "good")]
    assert "bad of signal it raised" in caplog.text
    assert "Traceback" in caplog.text or "SystemExit" in caplog.text


def test_keyboard_interrupt_passes(signal: Signal) -> None:
    def stop(**_: Any) -> None:
        raise KeyboardInterrupt

    signal.connect(stop)
    with pytest.raises(KeyboardInterrupt):
        signal.send(None)


def test_retry_calls_until_it_does_not_raise_and_holds_strongly(signal: Signal) -> None:
    pauses: list[float] = []
    signal.sleep = pauses.append
    failures = iter([ValueError("1"), ValueError("2")])

    def receiver(**_: Any) -> str:
        for error in failures:
            raise error
        return "done"

    signal.connect(receiver, retry=True)
    key = receiver
    assert [value for _, value in signal.send(None)] == ["done"]
    assert pauses == list(RETRY_PAUSES[:2])
    assert signal.disconnect(key)


def test_what_is_no_receiver_is_refused(signal: Signal) -> None:
    with pytest.raises(ValueError, match=r"must take keyword arguments: add \*\*kwargs"):
        signal.connect(lambda sender: None)
    with pytest.raises(TypeError, match="must be callable"):
        signal.connect(3)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", [name for name in signals.__all__ if getattr(getattr(signals, name), "never", None)])
def test_connecting_to_what_is_never_sent_warns(name: str) -> None:
    one: Signal = getattr(signals, name)

    def receiver(**_: Any) -> None: ...

    with pytest.warns(CeleriacWarning, match=f"signal {name} is never sent: "):
        one.connect(receiver)
    one.disconnect(receiver)


def test_every_signal_of_celerys_is_here() -> None:
    celery_signals = pytest.importorskip("celery.signals")
    theirs = {name for name, one in vars(celery_signals).items() if type(one).__name__ == "Signal"}
    assert theirs - {"Signal"} == set(signals.__all__) - {"Signal"}
