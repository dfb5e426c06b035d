"""The pure parts of the PostgreSQL driver: URLs, arrays, what errors mean."""

from __future__ import annotations

import psycopg
import pytest

from celeriac.brokers import place, with_options
from celeriac.brokers.postgres.failures import passes, translate, unreachable
from celeriac.brokers.postgres.operations.rows import blobs, numbers, shown, texts
from celeriac.brokers.postgres.schema import OBJECTS, within
from celeriac.brokers.postgres.url import parse
from celeriac.errors import (
    BrokerError,
    CeleriacError,
    ImproperlyConfigured,
    InvalidTaskError,
    OperationalError,
    SchemaError,
    StoreCorrupt,
    StoreFull,
)

HERE = parse("postgresql://me:hunter2@db.example/proj")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://h/db?shcema=x", ["'shcema'", "did you mean 'schema'?"]),
        ("postgresql://h/db?sslmod=require", ["'sslmod'", "did you mean 'sslmode'?"]),
        ("postgresql://h/db?schema=a-b", ["schema=a-b"]),
        ("postgresql://h/db?schema=pg_mine", ["schema=pg_mine"]),
        ("postgresql://h/db?timeout=0", ["timeout=0"]),
        ("postgresql://h/db?timeout=soon", ["timeout=soon"]),
        ("postgresql://h/db?install=perhaps", ["install=perhaps"]),
        ("postgresql://u:hunter2@[::1/db", ["form postgresql://"]),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        parse(url)
    assert all(word in str(caught.value) for word in words)
    assert "hunter2" not in str(caught.value)


def test_a_location_shows_no_password() -> None:
    assert "hunter2" not in repr(HERE) + str(HERE) + HERE.name
    assert HERE.name == "PostgreSQL server db.example:5432, database proj"
    assert parse("postgresql://a:1,b:2/db").name == "PostgreSQL server a:1,b:2, database db"
    assert parse("postgresql:///db?host=/run/postgresql").name == "PostgreSQL server /run/postgresql, database db"


def test_several_hosts_are_searched_for_the_primary() -> None:
    assert parse("postgresql://a,b/db").parameters["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in HERE.parameters
    assert parse("postgresql://a,b/db?target_session_attrs=any").parameters["target_session_attrs"] == "any"


def test_urls_of_one_store_are_told_by_their_place() -> None:
    assert place("postgres://u:a@h/db") == place("postgresql+psycopg://v:b@h:5432/db?schema=celeriac&timeout=9")
    assert place("postgres://h/db") != place("postgres://h/db?schema=another")
    assert place("postgres://h/db") != place("postgres://h/other")


def test_options_of_settings_become_parameters_unless_the_url_has_them() -> None:
    url, unknown = with_options("postgresql://h/db?timeout=9", {"timeout": 1, "schema": "mine", "shcema": 1, "list": 1})
    location = parse(url)
    assert (location.timeout, location.schema) == (9.0, "mine")
    assert dict(unknown) == {"shcema": "schema", "list": "listen"}


@pytest.mark.parametrize(
    ("values", "array"),
    [
        (["a"], '{"a"}'),
        (["a", "b"], '{"a","b"}'),
        (['"', "\\"], '{"\\"","\\\\"}'),
        (["a", None], '{"a",NULL}'),
        ([None], "{NULL}"),
        ([], "{}"),
        (["NULL", "{}", "", " "], '{"NULL","{}",""," "}'),
    ],
)
def test_texts_are_quoted(values: list[str | None], array: str) -> None:
    assert texts(values) == array


def test_bytes_and_numbers_are_written_as_postgresql_reads_them() -> None:
    assert blobs([b"\x00\xff", None, b""]).text() == '{"\\\\x00ff",NULL,"\\\\x"}'
    assert numbers([1, None, 1.5, 1e300]) == "{1,NULL,1.5,1e+300}"


def test_a_nul_is_refused_in_names_and_replaced_in_reasons() -> None:
    for values in (["a\0"], ["a", "b\0"]):
        with pytest.raises(InvalidTaskError, match="NUL"):
            texts(values)
    assert shown("a\0b") == "a\ufffdb"
    assert shown(None) is None


def test_sql_is_put_into_the_schema() -> None:
    assert within("mine", "SELECT celeriac.now(), 'celeriac:work'") == "SELECT \"mine\".now(), 'mine:work'"
    assert {("table", "message"), ("index", "message_ready"), ("function", "claim")} <= OBJECTS


@pytest.mark.parametrize(
    ("said", "kind", "words", "later"),
    [
        ('FATAL:  password authentication failed for user "me"', BrokerError, "user or the password", False),
        ('FATAL:  database "proj" does not exist', BrokerError, "no such database", False),
        ('FATAL:  role "me" does not exist', BrokerError, "does not know this user", False),
        ('FATAL:  no pg_hba.conf entry for host "::1"', BrokerError, "pg_hba.conf", False),
        ("FATAL:  sorry, too many clients already", OperationalError, "max_connections", True),
        ("FATAL:  remaining connection slots are reserved", OperationalError, "max_connections", True),
        ("FATAL:  the database system is starting up", OperationalError, "is starting", True),
        ("connection refused", OperationalError, "is not there", True),
        ("connection timeout expired", OperationalError, "does not answer", True),
        ("server does not support SSL, but SSL was required", BrokerError, "TLS", False),
        ("something new", OperationalError, "cannot be reached", True),
    ],
)
def test_an_error_while_connecting_says_what_to_do(
    said: str, kind: type[CeleriacError], words: str, later: bool
) -> None:
    exc = psycopg.OperationalError(said)
    error = unreachable(exc, HERE)
    assert type(error) is kind
    assert words in str(error)
    assert "hunter2" not in str(error)
    assert passes(exc) is later


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (psycopg.errors.DiskFull("full"), StoreFull),
        (psycopg.errors.TooManyConnections("many"), OperationalError),
        (psycopg.errors.ReadOnlySqlTransaction("standby"), OperationalError),
        (psycopg.errors.AdminShutdown("ends"), OperationalError),
        (psycopg.errors.DeadlockDetected("deadlock"), OperationalError),
        (psycopg.errors.OutOfMemory("memory"), OperationalError),
        (psycopg.errors.InFailedSqlTransaction("failed"), OperationalError),
        (psycopg.errors.UndefinedTable("table"), SchemaError),
        (psycopg.errors.UndefinedFunction("function"), SchemaError),
        (psycopg.errors.InsufficientPrivilege("denied"), BrokerError),
        (psycopg.errors.ProgramLimitExceeded("big"), BrokerError),
        (psycopg.errors.UntranslatableCharacter("char"), InvalidTaskError),
        (psycopg.errors.DataCorrupted("damaged"), StoreCorrupt),
        (psycopg.errors.SyntaxError("ours"), BrokerError),
        (psycopg.OperationalError("server closed the connection unexpectedly"), OperationalError),
    ],
)
def test_an_error_in_the_middle_is_of_the_kind_that_says_whether_to_try_again(
    exc: psycopg.Error, kind: type[CeleriacError]
) -> None:
    error = translate(exc, HERE)
    assert type(error) is kind
    assert "hunter2" not in str(error)
