"""When the broker cannot be reached: what is tried again, for how long, and what the caller is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from celeriac import Celeriac, Task
from celeriac.brokers.deadline import after
from celeriac.errors import ImproperlyConfigured, OperationalError
from celeriac.testing.faults import Fault, FaultyDriver, Script


@pytest.fixture
def add(app: Celeriac) -> Task[[int, int], int]:
    @app.task(name="proj.add")
    def add(x: int, y: int = 2) -> int:
        return x + y

    return add


class TestFaults:
    def broken(self, app: Celeriac, *faults: Fault) -> Script:
        """Put faults between the app and its broker."""
        script = Script(faults)
        app._connections._driver = FaultyDriver(app._connections._opened(), script)
        return script

    def test_a_lost_request_is_sent_again(self, app: Celeriac, add: Task[..., int]) -> None:
        self.broken(app, Fault.LOSE_REQUEST, Fault.LOSE_REPLY)
        add.delay(1)
        assert app.broker.stats()[0].ready == 1

    async def test_a_lost_request_is_sent_again_by_the_awaitable_twin(self, app: Celeriac, add: Task[..., int]) -> None:
        script = self.broken(app, Fault.LOSE_REQUEST, Fault.LOSE_REPLY)
        await add.adelay(1)
        script.add(Fault.LOSE_REPLY)
        await add.aapply_many([(1,), (2,)])
        assert app.broker.stats()[0].ready == 3

    def test_the_policy_bounds_the_tries(self, app: Celeriac, add: Task[..., int]) -> None:
        script = self.broken(app, *[Fault.LOSE_REQUEST] * 10)
        policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0}
        with pytest.raises(OperationalError, match=r"task proj\.add\[.*\] could not be sent to the broker memory://"):
            add.apply_async((1,), retry_policy=policy)
        assert script.pending == 7
        with pytest.raises(OperationalError):
            add.apply_async((1,), retry=False)
        assert script.pending == 6

    def test_the_timeout_bounds_the_time(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(publish_timeout=0.05, task_publish_retry_policy={"max_retries": None, "interval_step": 0.01})

        @app.task
        def add(x: int) -> None: ...

        script = self.broken(app, *[Fault.LOSE_REQUEST] * 1000)
        with pytest.raises(OperationalError):
            add.delay(1)
        assert 0 < 1000 - script.pending < 100

    def test_one_timeout_bounds_both_parts_of_sending_many(
        self, make_app: Callable[..., Celeriac], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worn-out first part leaves the second what remains; what the caller does between them takes nothing."""
        app = make_app(publish_timeout=5.0)
        now, left = 1000.0, list[float]()
        monkeypatch.setattr("time.monotonic", lambda: now)

        @app.task
        def add(x: int) -> None: ...

        def pass_time(seconds: float) -> None:
            nonlocal now
            now += seconds

        def begin(messages: object, sending: object = None) -> Callable[[], tuple[str, ...]]:
            pass_time(2.0)

            def end() -> tuple[str, ...]:
                left.append(after(1000.0) - now)
                return ()

            return end

        def calls() -> Iterator[tuple[int]]:
            for number in range(600):
                yield (number,)
            pass_time(60.0)

        monkeypatch.setattr(app.broker, "begin_enqueue", begin)
        add.apply_many(calls())
        assert left == [3.0, 3.0]

    def test_many_say_how_many_were_sent(self, app: Celeriac, add: Task[..., int]) -> None:
        self.broken(app, Fault.NONE, Fault.LOSE_REQUEST)
        with pytest.raises(OperationalError, match=r"100 tasks could not be sent .* \(500 before them were sent\)"):
            add.apply_many([(i,) for i in range(600)], retry=False)
        assert app.broker.stats()[0].ready == 500

    def test_a_bad_policy_in_the_settings_is_refused(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(task_publish_retry_policy={"interval": 3})

        @app.task
        def add() -> None: ...

        with pytest.raises(ImproperlyConfigured, match="setting task_publish_retry_policy: unknown 'interval'"):
            add.delay()
