"""From a URL, and the settings beside it, to a result store; and what is said about those that lead to none."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celeriac, results
from celeriac.errors import ImproperlyConfigured, UnknownSettingWarning
from celeriac.results import StoreOptions, by_reply, same_store, with_options
from celeriac.results.database.driver import DatabaseStore
from celeriac.results.database.url import Location, Options, merge, parse
from celeriac.results.rpc.driver import RpcStore


def kind(url: str) -> str:
    return results.connect(url).capabilities.name


@pytest.mark.parametrize(
    "url",
    [
        "db+sqlite:///x.db",
        "DB+SQLite:///x.db",
        "database+sqlite:///x.db",
        "db+mysql+pymysql://u:p@h/d",
        "mysql+pymysql://u:p@h/d",
        "mysql://h/d",
        "mariadb+pymysql://h/d",
        "db+postgresql://h/d",
        "db+postgresql+psycopg://h/d",
        "sqlite+pysqlite:///x.db",
        "postgresql+pg8000://h/d",
    ],
)
def test_what_sqlalchemy_reaches_is_a_result_store(url: str) -> None:
    assert kind(url) == "database"


@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgresql://h/d", "postgresql+psycopg://h/d", "redis://h"])
def test_our_own_drivers_come_first(url: str) -> None:
    assert kind(url) != "database"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("db+nosuch://h/d", "knows no dialect 'nosuch'"),
        ("db+mysql+aiomysql://h/d", r"aiomysql|asyncio"),
        ("db+sqlite:///x.db?timeout=0", "timeout=0 must be seconds above 0"),
        ("db+sqlite:///x.db?timeout=soon", "timeout=soon must be seconds above 0"),
        ("db+sqlite:///x.db?table=a-b", "table=a-b must be at most 40 letters"),
        ("db+sqlite:///x.db?schema=1", "schema=1 must be at most 40 letters"),
        ("db+sqlite:///x.db?pool_size=0", "pool_size=0 must be a whole number, at least 1"),
        ("db+sqlite:///x.db?pool_recycle=x", "pool_recycle=x must be a whole number, at least -1"),
        ("db+sqlite:///x.db?echo=maybe", "echo=maybe must be true or false"),
        ("db+mysql+pymysql://h:port/d", "is not a URL of SQLAlchemy's form"),
        ("nosuch://h", "unknown scheme"),
        ("amqp://h", "with rpc://"),
        ("rpc://", "which must be RabbitMQ"),
    ],
)
def test_a_url_that_leads_nowhere_says_why(url: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        results.connect(url)


def test_no_password_gets_into_an_error_or_a_name() -> None:
    secret = "s3cret"
    assert secret not in repr(parse(f"db+mysql+pymysql://u:{secret}@h/d"))
    for url in (f"db+nosuch://u:{secret}@h/d", f"db+mysql+pymysql://u:{secret}@h/d?timeout=0", f"rpc://u:{secret}@h"):
        with pytest.raises(ImproperlyConfigured) as caught:
            results.connect(url)
        assert secret not in str(caught.value)


def test_parameters_of_the_url_and_the_settings() -> None:
    options = Options(engine={"pool_size": 2, "echo": False}, table="named", schema="there", installs=False)
    found = parse("db+mysql+pymysql://u:p@h/d?timeout=3&pool_size=7&charset=utf8mb4&pool_pre_ping=true", options)
    assert (found.timeout, found.table, found.schema, found.installs) == (3.0, "named", "there", False)
    assert found.engine == {"pool_size": 7, "echo": False, "pool_pre_ping": True}
    assert found.url.query == {"charset": "utf8mb4"}
    assert found.connections == 7
    assert parse("db+sqlite:///x.db?table=mine&install=true", options).installs
    assert parse("db+sqlite:///x.db?table=mine", options).table == "mine"
    assert parse("db+sqlite://").connections == 1


def test_options_of_settings_become_parameters() -> None:
    url, unknown = merge("db+sqlite:///x.db?timeout=1", {"timeout": 9, "pool_size": 3, "pol_recycle": 1})
    assert url == "db+sqlite:///x.db?timeout=1&pool_size=3"
    assert unknown == [("pol_recycle", "pool_recycle")]
    assert with_options("db+sqlite:///x.db", {"timeout": 9.0}) == ("db+sqlite:///x.db?timeout=9.0", [])
    assert with_options("sqlite:///x.db", {"timeout": 9.0}) == ("sqlite:///x.db", [])


def test_a_database_is_never_the_broker_s_own_store() -> None:
    assert not same_store("sqlite:///x.db", "db+sqlite:///x.db")
    assert not same_store("amqp://h", "rpc+amqp://h")
    assert not same_store("amqp://h", "db+sqlite:///x.db")


def located(app: Celeriac) -> Location:
    store: Any = app.backend._driver
    assert isinstance(store, DatabaseStore)
    return store._location


def test_celery_s_settings_for_databases() -> None:
    with Celeriac("a", broker="memory://urls", backend="database") as app:
        with pytest.raises(ImproperlyConfigured, match="needs the setting database_url"):
            app.urls()
        app.conf.update(
            database_url="mysql+pymysql://u:p@h/d",
            database_engine_options={"pool_size": 3},
            database_short_lived_sessions=True,
            database_table_names={"task": "myapp_taskmeta", "group": "myapp_groupmeta"},
            database_table_schemas={"task": "celery"},
            database_create_tables_at_setup=False,
            broker_operation_timeout=2.5,
        )
        found = located(app)
        assert found.url.render_as_string(hide_password=False) == "mysql+pymysql://u:p@h/d"
        assert (found.table, found.schema, found.installs, found.short_lived) == (
            "myapp_taskmeta",
            "celery",
            False,
            True,
        )
        assert (found.engine, found.timeout) == ({"pool_size": 3}, 2.5)


def test_a_changed_option_is_used_from_then_on() -> None:
    with Celeriac("a", broker="memory://urls", backend="db+sqlite:///x.db") as app:
        assert located(app).table == "celeriac_result"
        app.conf.database_table_names = {"task": "other"}
        assert located(app).table == "other"


def test_an_unknown_option_is_a_warning() -> None:
    with Celeriac("a", broker="memory://urls", backend="db+sqlite:///x.db") as app:
        app.conf.result_backend_transport_options = {"pol_size": 3}
        with pytest.warns(UnknownSettingWarning, match="did you mean 'pool_size'"):
            app.urls()


def test_rpc_is_at_the_broker_s_server_unless_it_names_one() -> None:
    assert by_reply("amqp://u:p@h/v?timeout=3", "rpc://") == "rpc+amqp://u:p@h/v?timeout=3"
    assert by_reply("redis://h", "rpc://u@h/v") == "rpc+amqp://u@h/v"
    assert by_reply("redis://h", "redis://h/1") == "redis://h/1"
    with pytest.raises(ImproperlyConfigured, match="which must be RabbitMQ"):
        by_reply("redis://h", "rpc://")
    with Celeriac("a", broker="amqp://u:p@h:5/v", backend="rpc://") as app:
        assert app.urls() == ("amqp://u:p@h:5/v", "rpc+amqp://u:p@h:5/v")
        assert not app.results_share_broker
        assert app.results_enabled
        assert app.backend.capabilities.name == "rpc"
    assert isinstance(results.connect("rpc+amqps://h"), RpcStore)


def test_store_options_name_one_table() -> None:
    store = results.connect("db+sqlite:///x.db", options=StoreOptions(tables={"task": "mine"}))
    assert isinstance(store, DatabaseStore)
    assert store._location.table == "mine"
