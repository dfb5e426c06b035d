"""Connections are opened when they are needed, closed when they are not, and never shared with a child process."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from celeriac import Celeriac

FORK = """
import os
from celeriac import Celeriac
app = Celeriac("proj")
@app.task
def add(x): ...
add.delay(1)
parent = app.broker
child = os.fork()
if child == 0:
    assert app.broker is not parent
    receipt = add.delay(2)
    message = app.broker.get([receipt.id])[0].message
    assert message.origin.startswith(f"gen{os.getpid()}@"), message.origin
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert app.broker is parent
add.delay(3)
print(app.broker.stats()[0].ready)
"""


def test_nothing_is_opened_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = Celeriac("proj")

    @app.task
    def add() -> None: ...

    app.finalize()
    assert list(tmp_path.iterdir()) == []
    add.delay()
    assert (tmp_path / "celeriac.db").exists()
    app.close()


def test_one_broker_serves_all_threads(app: Celeriac) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(app.broker)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1
    assert app.backend is app.broker


def test_a_closed_app_opens_again(app: Celeriac) -> None:
    @app.task
    def add() -> None: ...

    add.delay()
    app.close()
    add.delay()
    assert app.broker.stats()


def test_a_forked_process_has_connections_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "3"


def test_each_event_loop_has_connections_of_its_own_which_end_with_it(tmp_path: Path) -> None:
    app = Celeriac("proj", broker=f"sqlite:///{tmp_path}/a.db", backend=f"sqlite:///{tmp_path}/a.db")

    @app.task
    def add(x: int) -> None: ...

    async def work() -> object:
        await add.adelay(1)
        assert app.async_backend() is app.async_broker()
        return app.async_broker()

    assert asyncio.run(work()) is not asyncio.run(work())
    gc.collect()
    assert len(app._connections._loops) == 0
    assert app.broker.stats()[0].ready == 2
    app.close()


def test_a_result_store_elsewhere_has_its_own(tmp_path: Path) -> None:
    app = Celeriac("proj", broker=f"sqlite:///{tmp_path}/a.db", backend=f"sqlite:///{tmp_path}/b.db")
    assert not app.results_share_broker
    assert app.backend is not app.broker

    async def work() -> bool:
        return app.async_backend() is app.async_broker()

    assert asyncio.run(work()) is False
    app.close()


def test_without_an_event_loop_there_is_no_awaitable_broker(app: Celeriac) -> None:
    with pytest.raises(RuntimeError):
        app.async_broker()


async def test_closing_in_a_loop_closes_what_the_loop_opened(app: Celeriac) -> None:
    broker = app.async_broker()
    assert app.async_broker() is broker
    await app.aclose()
    assert app.async_broker() is not broker


def test_open_files_do_not_pile_up(tmp_path: Path) -> None:
    app = Celeriac("proj", broker=f"sqlite:///{tmp_path}/a.db")

    @app.task
    def add() -> None: ...

    async def work() -> None:
        await add.adelay()

    def files() -> int:
        gc.collect()
        return len(os.listdir("/dev/fd"))

    asyncio.run(work())
    before = files()
    for _ in range(5):
        asyncio.run(work())
    assert files() == before
    app.close()
