"""Where settings come from, and which source wins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from celeriac import Celeriac, Celery
from celeriac.errors import ImproperlyConfigured, UnknownSettingWarning


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Return a function that writes a module, which can be imported until the test ends."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def write(name: str, text: str) -> None:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_the_class_has_celerys_name_too() -> None:
    assert Celery is Celeriac


class TestUrls:
    def test_without_any_it_is_a_file_in_the_working_directory(self) -> None:
        app = Celeriac()
        assert app.urls() == ("sqlite:///celeriac.db", "sqlite:///celeriac.db")
        assert app.results_enabled

    def test_a_broker_alone_keeps_no_results(self) -> None:
        app = Celeriac(broker="memory://x")
        assert app.urls() == ("memory://x", None)
        assert not app.results_enabled
        assert not app.results_share_broker

    def test_a_backend_alone_leaves_the_broker_where_it_is(self) -> None:
        assert Celeriac(backend="memory://x").urls() == ("sqlite:///celeriac.db", "memory://x")

    @pytest.mark.parametrize("disabled", ["disabled://", "disabled", ""])
    def test_results_can_be_disabled(self, disabled: str) -> None:
        assert Celeriac(backend=disabled).urls() == ("sqlite:///celeriac.db", None)

    def test_settings_say_it_too(self) -> None:
        assert Celeriac(changes={"broker_url": "memory://a", "result_backend": "memory://b"}).urls() == (
            "memory://a",
            "memory://b",
        )

    @pytest.mark.parametrize("prefix", ["CELERIAC", "CELERY"])
    def test_the_environment_wins(self, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
        monkeypatch.setenv(f"{prefix}_BROKER_URL", "memory://env")
        monkeypatch.setenv(f"{prefix}_RESULT_BACKEND", "memory://results")
        assert Celeriac(broker="memory://x", backend="memory://y").urls() == ("memory://env", "memory://results")

    def test_a_url_that_changes_takes_effect(self) -> None:
        app = Celeriac(broker="memory://before", backend="memory://before")

        @app.task
        def add() -> None: ...

        add.delay()
        before = app.broker
        app.conf.broker_url = app.conf.result_backend = "memory://after"
        assert app.broker is not before
        assert app.broker.stats() == []
        assert app.results_share_broker
        add.delay()
        assert app.broker.stats()[0].ready == 1

    @pytest.mark.parametrize("url", ["rpc://localhost", "nonsense", "mysql://x"])
    def test_an_unknown_url_is_named_when_it_is_used(self, url: str) -> None:
        app = Celeriac(broker=url)
        with pytest.raises(ImproperlyConfigured, match="sqlite://"):
            _ = app.broker


class TestConstructor:
    def test_settings_are_arguments(self) -> None:
        app = Celeriac("proj", task_default_queue="images", include=["a", "b"], changes={"result_expires": 5})
        assert (app.main, app.conf.task_default_queue, app.conf.include, app.conf.result_expires) == (
            "proj",
            "images",
            ("a", "b"),
            5,
        )

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"task_default_queu": "x"}, "unknown argument 'task_default_queu': did you mean 'task_default_queue'"),
            ({"loader": object()}, "cannot exchange its loader"),
            ({"zzz": 1}, "unknown argument 'zzz'"),
        ],
    )
    def test_other_arguments_are_refused(self, given: Any, words: str) -> None:
        with pytest.raises(TypeError, match=words):
            Celeriac(**given)

    def test_parts_that_are_left_as_they_are_may_be_named(self) -> None:
        Celeriac(loader=None, fixups=None, amqp=None)

    def test_what_is_given_to_it_wins_over_sources(self) -> None:
        app = Celeriac(broker="memory://x", config_source={"broker_url": "memory://y", "result_expires": 5})
        assert (app.conf.broker_url, app.conf.result_expires) == ("memory://x", 5)
        app.config_from_object({"broker_url": "memory://z"})
        assert app.conf.broker_url == "memory://x"
        app.conf.broker_url = "memory://code"
        app.config_from_object({"broker_url": "memory://z"})
        assert app.conf.broker_url == "memory://code"


class TestSources:
    def test_a_class_an_instance_and_a_mapping(self) -> None:
        class Config:
            task_default_queue = "a"

        app = Celeriac()
        for source, queue in [
            (Config, "a"),
            (SimpleNamespace(task_default_queue="b"), "b"),
            ({"task_default_queue": "c"}, "c"),
        ]:
            app.config_from_object(source)
            assert app.conf.task_default_queue == queue
        app.conf = {"task_default_queue": "d"}  # pyright: ignore[reportAttributeAccessIssue]
        assert app.conf.task_default_queue == "d"

    def test_a_module_is_read_when_the_first_setting_is_needed(self, modules: Callable[[str, str], None]) -> None:
        modules("shop.conf", "task_default_queue = 'shop'")
        app = Celeriac()
        app.config_from_object("shop.conf")
        assert "shop.conf" not in sys.modules
        assert app.conf.task_default_queue == "shop"

    def test_a_module_is_read_at_once_if_asked(self, modules: Callable[[str, str], None]) -> None:
        modules("early", "task_default_queue = 'early'")
        Celeriac().config_from_object("early", force=True)
        assert "early" in sys.modules

    @pytest.mark.parametrize("name", ["prod:Config", "prod.Config"])
    def test_something_in_a_module(self, modules: Callable[[str, str], None], name: str) -> None:
        modules("prod", "class Config:\n    task_default_queue = 'prod'\n")
        app = Celeriac()
        app.config_from_object(name)
        assert app.conf.task_default_queue == "prod"

    def test_a_settings_module_may_use_the_app_that_reads_it(self, modules: Callable[[str, str], None]) -> None:
        modules(
            "circle", "from celeriac import current_app\nworker_concurrency = 3\nseen = current_app.conf.timezone\n"
        )
        app = Celeriac()
        app.config_from_object("circle")
        assert app.conf.worker_concurrency == 3

    def test_a_namespace_chooses_names(self) -> None:
        app = Celeriac(namespace="CELERY")
        app.config_from_object({"CELERY_TASK_DEFAULT_QUEUE": "a", "DEBUG": True})
        assert app.conf.task_default_queue == "a"
        app.config_from_object({"QUEUE_TASK_DEFAULT_QUEUE": "b"}, namespace="QUEUE")
        assert app.conf.task_default_queue == "b"

    def test_a_module_that_is_not_there_is_named(self) -> None:
        app = Celeriac()
        app.config_from_object("no_such_settings")
        with pytest.raises(ImproperlyConfigured, match="module 'no_such_settings' was not found"):
            _ = app.conf
        quiet = Celeriac()
        quiet.config_from_object("no_such_settings", silent=True)
        assert quiet.conf.task_default_queue == "celery"

    def test_an_error_inside_a_module_passes(self, modules: Callable[[str, str], None]) -> None:
        modules("broken", "import no_such_module_at_all")
        app = Celeriac()
        app.config_from_object("broken", silent=True)
        with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
            _ = app.conf

    def test_a_name_that_is_not_in_a_module_is_named(self, modules: Callable[[str, str], None]) -> None:
        modules("empty", "")
        app = Celeriac()
        app.config_from_object("empty:Config")
        with pytest.raises(ImproperlyConfigured, match="module 'empty' has no 'Config'"):
            _ = app.conf

    def test_the_environment_may_name_the_module(
        self, modules: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        modules("from_env", "task_default_queue = 'env'")
        app = Celeriac()
        assert app.config_from_envvar("SHOP_CONFIG", silent=True) is False
        with pytest.raises(ImproperlyConfigured, match="SHOP_CONFIG is not set"):
            app.config_from_envvar("SHOP_CONFIG")
        monkeypatch.setenv("SHOP_CONFIG", "from_env")
        assert app.config_from_envvar("SHOP_CONFIG") is True
        assert app.conf.task_default_queue == "env"

    def test_defaults_yield_to_everything(self) -> None:
        app = Celeriac(task_default_queue="own")
        app.add_defaults({"task_default_queue": "default", "result_expires": 7})
        app.add_defaults(lambda: {"result_expires": 8, "worker_concurrency": 2})
        assert (app.conf.task_default_queue, app.conf.result_expires, app.conf.worker_concurrency) == ("own", 7, 2)

    def test_an_unknown_name_is_warned_about(self) -> None:
        app = Celeriac()
        with pytest.warns(UnknownSettingWarning, match="did you mean 'task_default_queue'"):
            app.conf.task_default_queu = "x"

    def test_a_failed_source_is_tried_again(self, modules: Callable[[str, str], None]) -> None:
        app = Celeriac()
        app.config_from_object("late")
        with pytest.raises(ImproperlyConfigured):
            _ = app.conf
        modules("late", "task_default_queue = 'late'")
        assert app.conf.task_default_queue == "late"


class TestWhatFollows:
    def test_the_time_zone(self) -> None:
        app = Celeriac()
        assert app.timezone is UTC
        app.conf.timezone = "Europe/Berlin"
        assert app.timezone == ZoneInfo("Europe/Berlin")
        assert app.now().tzinfo == ZoneInfo("Europe/Berlin")
        app.conf.timezone = "Nowhere"
        with pytest.raises(ImproperlyConfigured, match="no such time zone"):
            _ = app.timezone

    def test_the_queues(self) -> None:
        app = Celeriac(task_default_queue="a", task_queues=["b", SimpleNamespace(name="c"), "a"])
        assert app.queue_names() == ["a", "b", "c"]
        app.conf.task_create_missing_queues = False
        assert app.queue_names() == ["b", "c", "a"]
        app.conf.task_queues = ["b"]
        assert app.queue_names() == ["b"], "the default one would never be made, and hold up a worker"
        app.conf.task_queues = None
        assert app.queue_names() == ["a"]

    def test_what_results_may_be_read(self) -> None:
        app = Celeriac()
        assert app.result_accept == {"application/json"}
        app.conf.accept_content = ["json", "msgpack"]
        assert len(app.result_accept) == 2
        app.conf.result_accept_content = ["json"]
        assert app.result_accept == {"application/json"}
