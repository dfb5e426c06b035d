"""An operation that is begun: the first request is under way before its reply is waited for."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from celeriac.core.operation import at_once, begin

Ops = Generator[str, str, list[str]]


def two() -> Ops:
    first = yield "a"
    try:
        second = yield "b"
    except ValueError:
        second = "caught"
    return [first, second]


class Server:
    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, request: str) -> Callable[[], str]:
        self.said.append(f"start {request}")

        def reply() -> str:
            self.said.append(f"reply {request}")
            return request.upper()

        return reply

    def perform(self, request: str) -> str:
        self.said.append(f"perform {request}")
        return request.upper()


def test_only_the_first_request_is_sent_before_the_end() -> None:
    server = Server()
    end = begin(two(), server.start, server.perform)
    assert server.said == ["start a"]
    assert end() == ["A", "B"]
    assert server.said == ["start a", "reply a", "perform b"]


def test_an_operation_without_a_request_has_ended() -> None:
    def nothing(wanted: tuple[str, ...] = ()) -> Ops:
        yield from wanted
        return []

    server = Server()
    assert begin(nothing(), server.start, server.perform)() == []
    assert server.said == []


def test_an_error_of_a_reply_is_thrown_into_the_operation() -> None:
    def fail(_: str) -> Callable[[], str]:
        return at_once(lambda: str(1 // 0))

    def forgiving() -> Ops:
        try:
            yield "a"
        except ZeroDivisionError:
            return [(yield "b")]
        return []

    assert begin(forgiving(), fail, Server().perform)() == ["B"]


def test_an_error_that_nobody_handles_is_raised_by_the_end() -> None:
    end = begin(two(), lambda _: at_once(lambda: str(1 // 0)), Server().perform)
    with pytest.raises(ZeroDivisionError):
        end()
