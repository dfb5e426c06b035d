"""Moments in the life of an app."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac

Make = Callable[..., Celeriac]


def test_each_moment_comes_once_and_in_this_order(make_app: Make) -> None:
    app = make_app()
    told: list[tuple[str, dict[str, Any]]] = []
    for name in ("on_after_finalize", "on_after_configure", "on_configure"):
        moment = getattr(app, name)
        moment.connect(lambda name=name, **named: told.append((name, named)))
    assert told == []
    assert app.conf.task_default_queue
    assert [name for name, _ in told] == ["on_configure"]
    app.finalize()
    assert app.conf.task_default_queue
    assert [name for name, _ in told] == ["on_configure", "on_after_configure", "on_after_finalize"]
    assert all(named["sender"] is app and "signal" in named for _, named in told)
    assert told[1][1]["source"] is app.conf
    app.on_configure.connect(lambda **named: told.append(("late", named)))
    assert told[-1][0] == "late"


def test_settings_may_be_changed_before_they_are_read(make_app: Make) -> None:
    app = make_app()
    app.config_from_object({"task_default_queue": "from the source"})

    @app.on_configure.connect
    def configure(sender: Celeriac, **kwargs: Any) -> None:
        sender.conf.task_default_queue = "changed"

    assert app.conf.task_default_queue == "changed"


def test_a_subclass_may_define_the_hook(make_app: Make) -> None:
    seen: list[Any] = []

    class Own(Celeriac):
        def on_configure(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
            seen.append(self)

    app = Own("own", broker="memory://own-hook", set_as_current=False)
    assert seen == []
    assert app.conf.task_default_queue == app.conf.task_default_queue
    assert seen == [app]


def test_a_receiver_that_fails_is_called_again(make_app: Make) -> None:
    app = make_app()
    broken = [True]

    @app.on_configure.connect
    def configure(**kwargs: Any) -> None:
        if broken:
            raise LookupError(broken.pop())

    with pytest.raises(LookupError):
        app.conf.__len__()
    assert app.conf.task_default_queue
    assert broken == []


def test_who_forks_is_told_in_the_child(make_app: Make) -> None:
    app = make_app()
    reader, writer = os.pipe()

    @app.on_after_fork.connect
    def fails(**kwargs: Any) -> None:
        raise LookupError("harmless")

    @app.on_after_fork.connect
    def tell(sender: Celeriac, **kwargs: Any) -> None:
        os.write(writer, f"{sender.main} {os.getpid()}\n".encode())

    pid = os.fork()
    if not pid:
        app.on_after_fork.come()
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        assert told.read() == f"proj {pid}\n"
