"""A worker's shape: presets, names, and what the command line may not ask for."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured
from celeriac.worker.options import from_settings, node_name, shape


def options(**chosen: Any) -> Any:
    return from_settings(Settings(), target="proj", **chosen)


@pytest.mark.parametrize(
    ("pool", "concurrency", "processes", "threads", "coroutines"),
    [("prefork", 4, 4, 0, 100), ("threads", 8, 1, 8, 100), ("asyncio", 50, 1, 0, 50), ("solo", None, 1, 0, 100)],
)
def test_presets_are_numbers_of_processes_threads_and_coroutines(
    pool: str, concurrency: int | None, processes: int, threads: int, coroutines: int
) -> None:
    made = options(pool=pool, concurrency=concurrency)
    assert (made.processes, made.processes_max, made.threads, made.coroutines) == (
        processes,
        processes,
        threads,
        coroutines,
    )


def test_autoscale_gives_both_numbers_in_either_order() -> None:
    for autoscale in ((8, 2), (2, 8)):
        made = options(autoscale=autoscale)
        assert (made.processes, made.processes_max) == (2, 8)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({"pool": "gevent"}, "'gevent'"),
        ({"concurrency": -1}, "-1"),
        ({"threads": 0}, "--threads 0"),
        ({"autoscale": (4, 0)}, "--autoscale"),
        ({"autoscale": (4, 2), "pool": "threads"}, "--autoscale"),
        ({"start_method": "clone"}, "'clone'"),
        ({"node": "a b"}, "'a b@"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(chosen: dict[str, Any], text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        options(**chosen)


def test_names_get_their_host() -> None:
    host = socket.gethostname()
    assert node_name(None) == f"celeriac@{host}"
    assert node_name("w") == f"w@{host}"
    assert node_name("w@%h") == f"w@{host}"
    assert node_name("w@here") == "w@here"


def test_every_preset_is_known_to_shape() -> None:
    assert shape("prefork", 3, 2) == {"processes": 3, "threads": 2}
