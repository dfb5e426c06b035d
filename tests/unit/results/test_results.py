"""A result store by URL, and the one that keeps nothing."""

import pytest

from celeriac import Celeriac, results
from celeriac.brokers import open_broker
from celeriac.core.message import Message, Settlement, StoredResult
from celeriac.errors import ResultStoreDisabled

DISABLED = [None, "disabled://", "disabled", "DISABLED://"]


def test_the_broker_s_store_is_a_result_store() -> None:
    with open_broker("memory://results") as broker, results.open_results("memory://results") as store:
        broker.enqueue([Message(id="a", task="proj.add")])
        (delivery,) = broker.claim(["celery"], 1, "w", 30.0)
        result = StoredResult(id="a", state="SUCCESS", body=b"3")
        assert store.fetch(["a"]) == []
        assert broker.settle([Settlement(lease=delivery.lease, action="done", result=result)]) == ()
        assert store.fetch(["a"]) == [result]
        assert store.progress([StoredResult(id="a", state="STARTED")]) == ("a",)
        assert store.discard(["a"]) == 1


async def test_the_awaiting_store_reads_what_the_blocking_one_wrote() -> None:
    result = StoredResult(id="a", state="PROGRESS", body=b'{"done": 3}')
    with results.open_results("memory://results-async") as store:
        waiter = results.open_async_results("memory://results-async").waiter()
        store.store([result])
        assert await waiter.wait(10) is True
        async with results.open_async_results("memory://results-async") as awaiting:
            assert await awaiting.fetch(["a"]) == [result]


@pytest.mark.parametrize("url", DISABLED)
def test_a_disabled_store_lets_results_go_and_says_so_when_asked(url: str | None) -> None:
    store = results.open_results(url)
    store.store([StoredResult(id="a", state="SUCCESS")])
    assert store.progress([StoredResult(id="a", state="STARTED")]) == ()
    for read in (lambda: store.fetch(["a"]), lambda: store.discard(["a"]), store.waiter):
        with pytest.raises(ResultStoreDisabled, match="result_backend"):
            read()
    store.close()
    assert store.capabilities.results is False


async def test_a_disabled_store_says_so_to_coroutines_too() -> None:
    async with results.open_async_results(None) as store:
        await store.store([StoredResult(id="a", state="SUCCESS")])
        with pytest.raises(ResultStoreDisabled, match="result_backend"):
            await store.fetch(["a"])
        with pytest.raises(ResultStoreDisabled, match="result_backend"):
            store.waiter()


def test_every_read_of_a_result_says_so_as_in_celery() -> None:
    with Celeriac("a", broker="memory://disabled", backend="disabled://") as app:

        @app.task(name="proj.add")
        def add(x: int, y: int) -> int:
            return x + y

        sent = add.delay(1, 2)
        reads = (
            lambda: sent.state,
            lambda: sent.result,
            lambda: sent.traceback,
            lambda: sent.children,
            sent.ready,
            sent.successful,
            sent.failed,
            sent.forget,
            lambda: sent.get(timeout=1),
        )
        for read in reads:
            with pytest.raises(NotImplementedError, match="result_backend") as caught:
                read()
            assert isinstance(caught.value, ResultStoreDisabled)
        add.update_state(task_id=sent.id, state="PROGRESS")
        assert not app.results_enabled
