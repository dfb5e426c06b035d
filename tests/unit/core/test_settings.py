"""Settings are checked when they are set, known by name, and shown without secrets."""

import copy
import re
import types
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.settings import Settings
from celeriac.core.settings_names import OLD_NAMES
from celeriac.core.settings_table import SECTIONS, SETTINGS
from celeriac.errors import CeleriacWarning, ImproperlyConfigured, UnknownSettingWarning


def test_defaults_are_read_as_attributes_and_items() -> None:
    settings = Settings()
    assert settings.task_serializer == settings["task_serializer"] == settings.get("task_serializer") == "json"
    assert settings.result_expires == 86400.0
    assert settings.task_acks_late is True
    assert "broker_url" in settings
    assert "broker_uri" not in settings
    assert settings.get("broker_uri", 5) == 5
    assert set(settings) == set(SETTINGS)
    assert len(settings) == len(SETTINGS)
    assert repr(settings) == "<Settings: all default>"


def test_each_default_is_a_value_that_its_setting_accepts() -> None:
    for setting in SETTINGS.values():
        settings = Settings()
        settings[setting.name] = setting.default
        assert settings[setting.name] == setting.default, setting.name
        assert type(settings[setting.name]) is type(setting.default), setting.name


def test_settings_are_set_in_each_way() -> None:
    settings = Settings(task_serializer="yaml")
    settings.timezone = "Europe/Berlin"
    settings["worker_concurrency"] = 4
    settings.update({"task_time_limit": 60}, task_ignore_result=True)
    settings.update([("task_track_started", True)])
    assert settings.setdefault("task_default_queue", "main") == "main"
    assert settings.setdefault("worker_concurrency", 9) == 4
    assert settings.changes() == {
        "task_serializer": "yaml",
        "timezone": "Europe/Berlin",
        "worker_concurrency": 4,
        "task_time_limit": 60.0,
        "task_ignore_result": True,
        "task_track_started": True,
        "task_default_queue": "main",
    }
    assert settings.humanize().splitlines()[0] == "timezone: Europe/Berlin"


def test_deleting_gives_the_default_back() -> None:
    settings = Settings(task_serializer="yaml", worker_concurrency=3)
    del settings.task_serializer
    del settings["worker_concurrency"]
    assert settings.changes() == {}
    with pytest.raises(AttributeError, match="no setting 'nothing'"):
        del settings.nothing
    with pytest.raises(KeyError, match="no setting 'nothing'"):
        del settings["nothing"]


def test_defaults_that_can_change_belong_to_one_app() -> None:
    one, two = Settings(), Settings()
    one.beat_schedule["x"] = {"task": "t"}
    one.broker_transport_options["a"] = 1
    assert two.beat_schedule == {}
    assert Settings().broker_transport_options == {}
    assert one.changes() == {"beat_schedule": {"x": {"task": "t"}}, "broker_transport_options": {"a": 1}}


def test_a_copy_is_independent() -> None:
    one = Settings(task_serializer="yaml")
    two = copy.deepcopy(one)
    two.task_serializer = "msgpack"
    assert (one.task_serializer, two.task_serializer) == ("yaml", "msgpack")


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("worker_concurrency", "4", 4),
        ("worker_concurrency", "auto", None),
        ("worker_concurrency", None, None),
        ("task_time_limit", timedelta(minutes=2), 120.0),
        ("task_time_limit", "1.5", 1.5),
        ("result_expires", timedelta(days=2), 172800.0),
        ("result_expires", None, None),
        ("result_expires", 0, 0.0),
        ("task_acks_late", "false", False),
        ("task_acks_late", "Yes", True),
        ("task_acks_late", 0, False),
        ("imports", "proj.tasks", ("proj.tasks",)),
        ("imports", "proj.a, proj.b", ("proj.a", "proj.b")),
        ("imports", ["proj.a"], ("proj.a",)),
        ("include", {"proj.a": 1}.keys(), ("proj.a",)),
        ("accept_content", ["json", "application/x-msgpack"], ("json", "application/x-msgpack")),
        ("accept_content", {"pickle", "json"}, ("json", "pickle")),
        ("task_serializer", "application/json", "application/json"),
        ("task_compression", "zstd", "zstd"),
        ("broker_url", ["redis://a", "redis://b"], "redis://a;redis://b"),
        ("task_default_priority", 9, 9),
        ("broker_connection_max_retries", None, None),
        ("task_publish_retry_policy", {"max_retries": 1}, {"max_retries": 1}),
        ("worker_health_port", 0, 0),
        ("result_backend_max_retries", "inf", float("inf")),
        ("task_routes", {"a": "b"}, {"a": "b"}),
        ("worker_pool", "threads", "threads"),
    ],
)
def test_values_are_understood(name: str, value: Any, stored: Any) -> None:
    settings = Settings(**{name: value})
    assert settings[name] == stored
    assert type(settings[name]) is type(stored)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("worker_concurrency", "abc", "a whole number of at least 1 or None"),
        ("worker_concurrency", 0, "a whole number of at least 1 or None"),
        ("worker_concurrency", True, "a whole number of at least 1 or None"),
        ("worker_concurrency", 1.5, "a whole number of at least 1 or None"),
        ("task_time_limit", "soon", "a number of seconds of at least 0, or a timedelta or None"),
        ("task_time_limit", -1, "a number of seconds"),
        ("task_time_limit", 0, "a number of seconds above 0, or a timedelta or None"),
        ("task_time_limit", float("nan"), "a number of seconds"),
        ("task_acks_late", "perhaps", "True or False"),
        ("task_acks_late", None, "True or False"),
        ("task_acks_late", 2, "True or False"),
        ("imports", 5, "a list of texts"),
        ("imports", [5], "a list of texts"),
        ("imports", {"a": 1}, "a list of texts"),
        ("accept_content", ["xml"], "a list of serializer names (accept_content holds 'xml', which is no serializer"),
        ("task_serializer", "xml", "one of json, msgpack, pickle, yaml"),
        ("task_serializer", ["json"], "one of json"),
        ("task_compression", "rar", "one of gzip"),
        ("broker_url", 5, "a URL, or a list of URLs or None"),
        ("broker_url", ["redis://a", 5], "a URL"),
        ("task_default_priority", 10, "a whole number from 0 to 9 or None"),
        ("worker_pool", "gevent", "one of 'prefork', 'threads', 'asyncio', 'solo'"),
        ("worker_start_method", "clone", "one of 'forkserver', 'spawn', 'fork'"),
        ("broker_transport_options", "a=b", "a dictionary"),
        ("task_default_queue", 5, "text"),
        ("worker_health_port", 70000, "a whole number from 0 to 65535 or None"),
        ("result_backend_max_retries", "many", "a number"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any, wanted: str) -> None:
    expected = re.escape(f"setting {name} = {value!r}: must be {wanted}")
    with pytest.raises(ImproperlyConfigured, match=f"^{expected}"):
        Settings(**{name: value})
    settings = Settings()
    with pytest.raises(ImproperlyConfigured):
        settings.update({"task_serializer": "yaml", name: value} if name != "task_serializer" else {name: value})
    assert settings.changes() == {}


def test_a_wrong_long_value_is_shown_in_part() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings(broker_transport_options="x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("task_serialiser", "task_serializer"),
        ("worker_concurency", "worker_concurrency"),
        ("acks_late", "task_acks_late"),
        ("CELERY_TASK_SERIALISER", "task_serializer"),
        ("celery_always_eager", "task_always_eager"),
    ],
)
def test_an_unknown_name_is_kept_and_warned_about(name: str, proposed: str) -> None:
    settings = Settings()
    pattern = f"^unknown setting '{name}' has no effect; did you mean '{proposed}'\\?$"
    with pytest.warns(UnknownSettingWarning, match=pattern) as caught:
        settings.update({name: 5})
    assert Path(caught[0].filename) == Path(__file__)
    assert getattr(settings, name) == settings[name] == 5
    assert settings.changes() == {name: 5}
    del settings[name]
    assert settings.changes() == {}


def test_a_name_like_no_other_gets_no_proposal() -> None:
    with pytest.warns(UnknownSettingWarning, match="^unknown setting 'qqqq' has no effect$"):
        Settings(qqqq=1)
    with pytest.raises(
        AttributeError, match=r"^there is no setting 'task_serialise'; did you mean 'task_serializer'\?$"
    ):
        _ = Settings().task_serialise
    with pytest.raises(ImproperlyConfigured, match="begins with a letter"):
        Settings()["_given"] = 5
    with pytest.raises(ImproperlyConfigured, match="begins with a letter"):
        Settings().update({5: 1})


@pytest.mark.parametrize(
    ("old", "name", "value"),
    [
        ("BROKER_URL", "broker_url", "memory://"),
        ("CELERY_BROKER_URL", "broker_url", "memory://"),
        ("CELERY_TASK_SERIALIZER", "task_serializer", "yaml"),
        ("CELERYD_CONCURRENCY", "worker_concurrency", 3),
        ("CELERYBEAT_SCHEDULE", "beat_schedule", {"x": 1}),
        ("CELERY_ALWAYS_EAGER", "task_always_eager", True),
        ("CELERY_TASK_RESULT_EXPIRES", "result_expires", 5.0),
        ("CELERY_MESSAGE_COMPRESSION", "task_compression", "gzip"),
        ("CELERYD_TASK_TIME_LIMIT", "task_time_limit", 5.0),
    ],
)
def test_names_from_before_celery_4_are_understood(old: str, name: str, value: Any) -> None:
    settings = Settings()
    with pytest.warns(CeleriacWarning, match=f"^setting {old} has been renamed: call it {name}$") as caught:
        setattr(settings, old, value)
    assert Path(caught[0].filename) == Path(__file__)
    assert settings[name] == settings[old] == getattr(settings, old) == value


def test_the_same_setting_twice_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="setting broker_url is given twice, once as BROKER_URL"):
        Settings(broker_url="memory://", BROKER_URL="memory://")


def test_no_old_name_means_two_settings() -> None:
    assert not OLD_NAMES.keys() & SETTINGS.keys()
    assert set(OLD_NAMES.values()) <= SETTINGS.keys()
    assert all(name.isupper() for name in OLD_NAMES)


# Sources.


def module(**names: Any) -> types.ModuleType:
    made = types.ModuleType("celeryconfig")
    vars(made).update(names)
    return made


class ClassSource:
    broker_url = "memory://"
    task_routes = {"a.*": "q"}  # noqa: RUF012
    helper = 5

    def task_of(self) -> None: ...


@pytest.mark.parametrize(
    "source",
    [
        ClassSource,
        ClassSource(),
        module(broker_url="memory://", task_routes={"a.*": "q"}, os=re, helper=lambda: 1, _task_x=1, SECRET_KEY="x"),
        {"broker_url": "memory://", "task_routes": {"a.*": "q"}},
        types.MappingProxyType({"broker_url": "memory://", "task_routes": {"a.*": "q"}, 5: 6, "DEBUG": True}),
    ],
    ids=lambda source: type(source).__name__,
)
def test_settings_come_from_modules_classes_instances_and_mappings(source: object) -> None:
    settings = Settings()
    settings.from_object(source)
    assert settings.changes() == {"broker_url": "memory://", "task_routes": {"a.*": "q"}}


def test_a_namespace_picks_its_own_names() -> None:
    django = module(
        CELERY_BROKER_URL="memory://",
        CELERY_TASK_ALWAYS_EAGER=True,
        CELERY_RESULT_EXPIRES=timedelta(hours=1),
        DATABASE_URL="postgresql://",
        TIMEZONE="x",
        task_serializer="yaml",
    )
    settings = Settings()
    settings.from_object(django, namespace="CELERY")
    expected = {"broker_url": "memory://", "task_always_eager": True, "result_expires": 3600.0}
    assert settings.changes() == expected
    again = Settings()
    again.from_object(django, namespace="CELERY_")
    assert again.changes() == expected


def test_a_namespace_warns_about_each_unknown_name() -> None:
    settings = Settings()
    with pytest.warns(UnknownSettingWarning, match="unknown setting 'task_serialiser' has no effect; did you mean"):
        settings.from_object({"CELERY_TASK_SERIALISER": "yaml"}, namespace="CELERY")
    with pytest.warns(CeleriacWarning, match="CELERY_ALWAYS_EAGER has been renamed: call it task_always_eager"):
        settings.from_object({"CELERY_ALWAYS_EAGER": True}, namespace="CELERY")
    assert settings.task_always_eager is True


def test_misspelt_names_in_a_module_are_warned_about() -> None:
    with pytest.warns(UnknownSettingWarning, match="task_serialiser.*did you mean 'task_serializer'"):
        Settings().from_object(module(task_serialiser="yaml"))
    with pytest.warns(UnknownSettingWarning, match="acept_content.*did you mean 'accept_content'"):
        Settings().from_object(module(acept_content=["json"]))
    with pytest.warns(UnknownSettingWarning, match="CELERY_TASK_SERIALISER.*did you mean 'task_serializer'"):
        Settings().from_object(module(CELERY_TASK_SERIALISER="yaml"))
    with pytest.warns(UnknownSettingWarning, match="'whatever'"):
        Settings().from_object({"whatever": 1})


def test_a_module_may_define_helpers_and_import_others() -> None:
    settings = Settings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings.from_object(module(worker_name=lambda: 1, task_base=Settings, beat_module=re, DATABASE_URL="x"))
    assert settings.changes() == {}


@pytest.mark.parametrize("source", ["proj.settings", b"x", None])
def test_a_name_is_no_source(source: object) -> None:
    with pytest.raises(ImproperlyConfigured, match="settings come from a module, class, instance or mapping, not from"):
        Settings().from_object(source)


def test_a_wrong_value_in_a_source_changes_nothing() -> None:
    settings = Settings()
    with pytest.raises(ImproperlyConfigured, match="setting worker_concurrency = 'abc'"):
        settings.from_object({"task_serializer": "yaml", "worker_concurrency": "abc"})
    assert settings.changes() == {}


def test_secrets_are_not_shown() -> None:
    settings = Settings(
        broker_url="redis://:hunter2@h/0",
        result_backend="postgresql://u:hunter2@h/db",
        broker_password="hunter2",
        broker_transport_options={"sentinel_kwargs": {"password": "hunter2"}, "db": 1},
    )
    for text in (repr(settings), settings.humanize(), settings.humanize(with_defaults=True), str(settings.table())):
        assert "hunter2" not in text
        assert "redis://:***@h/0" in text
    assert settings.table(censored=False)["broker_password"] == "hunter2"
    assert settings.changes()["broker_url"] == "redis://:hunter2@h/0"
    assert len(settings.table(with_defaults=True)) == len(SETTINGS)


def test_the_table_is_in_order() -> None:
    names = [one.name for group in SECTIONS.values() for one in group]
    assert len(names) == len(set(names))
    for setting in SETTINGS.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", setting.name)
        assert re.fullmatch(r"[A-Z`].*\.", setting.doc), setting.name
        assert setting.works != bool(setting.note), setting.name
        assert not setting.note.endswith(".")
        assert not (setting.default is None and not setting.nullable), setting.name
    assert {one.name for one in SETTINGS.values() if one.own} >= {"task_delivery_limit", "worker_lease"}
