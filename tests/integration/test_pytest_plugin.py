"""The pytest plugin in projects of users': their own conftest, suites as they are written for Celery's plugin, and a
run in which nothing uses it."""

from __future__ import annotations

import textwrap
from typing import Final

import pytest

pytest_plugins = ["pytester"]

SHOP: Final = """
from celeriac import Celeriac

app = Celeriac("shop", broker="redis://localhost:1/0", backend="redis://localhost:1/0")


@app.task(name="shop.order", bind=True, max_retries=3, default_retry_delay=3600)
def order(self, product):
    if self.request.retries < 2:
        raise self.retry(exc=LookupError(product))
    mail.delay(product)
    return product


@app.task(name="shop.mail")
def mail(text):
    return f"mailed {text}"


@app.on_after_finalize.connect
def plan(sender, **kwargs):
    sender.add_periodic_task(3600.0, mail.s("hourly"), name="hourly")
"""


CELERYS_TASKS: Final = """
from celeriac import shared_task

@shared_task
def shared_mul(x, y):
    return x * y
"""

CELERYS_CONFTEST: Final = """
import pytest
from celeriac import Task

class Greeting(Task):
    name = "greeting"

    def run(self, name):
        return f"hello {name}"

@pytest.fixture(scope="session")
def celery_config():
    return {"broker_url": "memory://", "result_backend": "cache+memory://", "task_default_queue": "q"}

@pytest.fixture(scope="session")
def celery_parameters():
    return {"strict_typing": False}

@pytest.fixture(scope="session")
def celery_includes():
    return ["more_tasks"]

@pytest.fixture(scope="session")
def celery_worker_pool():
    return "prefork"

@pytest.fixture(scope="session")
def celery_worker_parameters():
    return {"queues": ("q", "high-prio"), "perform_ping_check": False}

@pytest.fixture(scope="session")
def celery_class_tasks():
    return [Greeting]
"""

CELERYS_SUITE: Final = """
import threading
import pytest
from celeriac import chord, current_app, shared_task

def test_create_task(celery_app, celery_worker):
    @celery_app.task
    def mul(x, y):
        return x * y

    celery_worker.reload()
    assert mul.delay(4, 4).get(timeout=10) == 16
    assert mul.apply_async((4, 5), queue="high-prio").get(timeout=10) == 20

@pytest.mark.celery(result_extended=True, task_default_queue="high-prio")
def test_marker(celery_app):
    assert celery_app.conf.result_extended is True
    assert celery_app.conf.task_default_queue == "high-prio"
    assert celery_app.strict_typing is False

@pytest.mark.usefixtures("celery_session_app", "celery_session_worker")
class TestSession:
    def test_shared(self):
        from more_tasks import shared_mul
        assert shared_mul.delay(2, 3).get(timeout=10) == 6

    def test_class(self, celery_session_app):
        assert celery_session_app.tasks["greeting"].delay("ann").get(timeout=10) == "hello ann"

def test_current(celery_app, depends_on_current_app):
    assert current_app == celery_app

def test_it_is_the_default_app(celery_app):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_app.main))
    thread.start()
    thread.join()
    assert seen == [celery_app.main]

def test_eager(celery_app):
    celery_app.conf.task_always_eager = True

    @celery_app.task
    def add(x, y):
        return x + y

    assert add.delay(1, 2).get() == 3

def test_side_effects_arrive(celery_app, celery_worker):
    done = threading.Event()

    @celery_app.task
    def work():
        done.set()

    work.delay()
    assert done.wait(10)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with an app, in which pytest warns of nothing and runs in a process of its own."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        addopts = ["-p", "no:cacheprovider", "--strict-markers"]
        filterwarnings = ["error"]
        asyncio_mode = "auto"
        asyncio_default_fixture_loop_scope = "function"
        pythonpath = ["."]
        """
    )
    pytester.makepyfile(shop=SHOP)
    return pytester


def passes(project: pytest.Pytester, count: int, **files: str) -> None:
    project.makepyfile(**{name: textwrap.dedent(text) for name, text in files.items()})
    result = project.runpytest_subprocess("-q")
    result.assert_outcomes(passed=count)
    assert result.ret == 0


def test_a_suite_of_a_project_of_its_own(project: pytest.Pytester) -> None:
    passes(
        project,
        5,
        conftest="""
            import pytest
            import shop

            @pytest.fixture
            def celeriac_app():
                return shop.app
        """,
        test_shop="""
            from datetime import datetime, timedelta, UTC
            import pytest
            from celeriac import current_app
            from shop import mail, order

            def test_order(celeriac_kit):
                sent = order.delay("apple")
                celeriac_kit.assert_enqueued(order, args=("apple",), queue="celery")
                celeriac_kit.finish()
                celeriac_kit.assert_enqueued(mail, args=("apple",), count=1)
                assert sent.get() == "apple"

            def test_nothing_is_left_of_another_test(celeriac_kit):
                celeriac_kit.refute_enqueued(order)
                assert current_app.main == "shop"

            async def test_from_a_loop(celeriac_kit):
                sent = await mail.adelay("pear")
                await celeriac_kit.adrain()
                assert await sent.aget() == "mailed pear"

            @pytest.mark.celeriac(beat=True, now=datetime(2030, 1, 1, tzinfo=UTC))
            def test_schedule(celeriac_kit):
                celeriac_kit.advance(timedelta(hours=5))
                celeriac_kit.assert_ran(mail, args=("hourly",), count=5)

            def test_failures_read_well(celeriac_kit):
                mail.delay("pear")
                with pytest.raises(AssertionError, match="text is 'pear', not 'apple'"):
                    celeriac_kit.assert_enqueued(mail, args=("apple",))
        """,
    )


def test_the_setting_of_pytest_names_the_app(project: pytest.Pytester) -> None:
    project.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        celeriac_app = "shop"
        pythonpath = ["."]
        """
    )
    passes(
        project,
        1,
        test_shop="""
            def test_it(celeriac_kit, celeriac_app):
                assert celeriac_app.main == "shop"
                celeriac_app.send_task("shop.mail", ("x",))
                celeriac_kit.drain()
                celeriac_kit.assert_ran("shop.mail", value="mailed x")
        """,
    )


def test_without_an_app_there_is_a_new_one(project: pytest.Pytester) -> None:
    passes(
        project,
        1,
        test_it="""
            def test_it(celeriac_app, celeriac_kit):
                @celeriac_app.task
                def add(x, y):
                    return x + y

                sent = add.delay(1, 2)
                celeriac_kit.drain()
                assert sent.get() == 3
        """,
    )


def test_a_suite_as_it_is_written_for_celerys_plugin(project: pytest.Pytester) -> None:
    passes(project, 8, more_tasks=CELERYS_TASKS, conftest=CELERYS_CONFTEST, test_it=CELERYS_SUITE)


def test_the_trap_catches_the_use_of_the_current_app(project: pytest.Pytester) -> None:
    passes(
        project,
        2,
        conftest="""
            import pytest

            @pytest.fixture(scope="session")
            def use_celery_app_trap():
                return True
        """,
        test_it="""
            import pytest
            from celeriac import current_app

            def test_trap(celery_app):
                with pytest.raises(RuntimeError, match="current app was used .tasks.*depends_on_current_app"):
                    current_app.tasks

            def test_allowed(celery_app, depends_on_current_app):
                assert current_app.main == celery_app.main
        """,
    )


def test_a_run_that_uses_nothing_of_it_does_not_import_celeriac(project: pytest.Pytester) -> None:
    passes(
        project,
        1,
        test_it="""
            import sys

            def test_it(request):
                assert request.config.pluginmanager.hasplugin("celeriac")
                assert "pytest_celeriac" in sys.modules
                assert not [name for name in sys.modules if name.partition(".")[0] == "celeriac"]
        """,
    )
