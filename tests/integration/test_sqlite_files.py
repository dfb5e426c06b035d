"""Which files the SQLite broker takes, and what it says about the others. Nothing is written to a file of others."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.port import Command
from celeriac.brokers.sqlite.connection import Connection
from celeriac.brokers.sqlite.install import upgrade, version_of
from celeriac.brokers.sqlite.schema import APPLICATION_ID, MIGRATIONS, OBJECTS, VERSION
from celeriac.brokers.sqlite.url import parse
from celeriac.core.clock import SYSTEM
from celeriac.core.message import Message, Settlement
from celeriac.errors import (
    BrokerError,
    CeleriacError,
    ImproperlyConfigured,
    InvalidTaskError,
    SchemaError,
    StoreCorrupt,
    StoreFull,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def message(id: str = "a", size: int = 0) -> Message:
    return Message(id=id, task="proj.add", body=b"x" * size)


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def complaint(path: Path, expected: type[CeleriacError]) -> str:
    with open_broker(f"sqlite:///{path}") as broker, pytest.raises(expected) as caught:
        broker.enqueue([message()])
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_new_file_is_made_and_marked(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.enqueue([message()])
    connection = raw(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    assert set(found) == OBJECTS
    connection.close()


@pytest.mark.parametrize(("parameters", "level"), [("", 1), ("?synchronous=normal", 1), ("?synchronous=full", 2)])
def test_how_durable_a_commit_is_stands_in_the_url(path: Path, parameters: str, level: int) -> None:
    connection = Connection(parse(f"sqlite:///{path}{parameters}"), SYSTEM)
    with connection.lock:
        assert connection.use(installs=True).execute("PRAGMA synchronous").fetchone() == (level,)
    connection.close()


def test_an_empty_file_is_taken(path: Path) -> None:
    path.touch()
    with open_broker(f"sqlite:///{path}") as broker:
        assert broker.install() == VERSION


def test_a_text_file_is_refused(path: Path) -> None:
    text = "these are the tasks for tomorrow\n" * 200
    path.write_text(text)
    assert "not a SQLite database" in complaint(path, StoreCorrupt)
    assert path.read_text() == text


def test_the_database_of_another_application_is_refused_and_left_alone(path: Path) -> None:
    connection = raw(path)
    connection.execute("CREATE TABLE customer (name TEXT)")
    connection.close()
    before = path.read_bytes()
    assert "belongs to another application" in complaint(path, SchemaError)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["tasks.db"]


def test_a_file_with_another_mark_is_refused(path: Path) -> None:
    connection = raw(path)
    connection.execute("PRAGMA application_id = 7")
    connection.close()
    assert "application id 0x7" in complaint(path, SchemaError)


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.install()
    connection = raw(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    text = complaint(path, SchemaError)
    assert f"has schema version {VERSION + 1}" in text
    assert "upgrade Celeriac" in text


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "tasks.db"
    assert f"the directory {path.parent} does not exist" in complaint(path, ImproperlyConfigured)


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    assert "is a directory" in complaint(tmp_path, ImproperlyConfigured)


def test_a_schema_that_somebody_changed_is_said_to_be(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.install()
        connection = raw(path)
        connection.execute("DROP INDEX message_due")
        connection.execute("DROP TABLE tally")
        connection.close()
        with pytest.raises(SchemaError, match="lacks index message_due, table tally"):
            broker.verify()
        with pytest.raises(SchemaError, match="no such table: tally"):
            broker.tallies()


def test_verify_makes_no_file(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        with pytest.raises(SchemaError, match="does not exist yet"):
            broker.verify()
        assert not path.exists()
        assert broker.install() == broker.verify() == VERSION


def test_a_damaged_file_is_said_to_be(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.enqueue([message(f"task-{number}", 300) for number in range(2000)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(2, size // 4096, 2):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    with open_broker(f"sqlite:///{path}") as broker, pytest.raises(StoreCorrupt) as caught:
        broker.claim(["celery"], 500, "w", 30.0)
        broker.page(["PENDING", "RECEIVED"], None, 0, 2000)
    assert str(path) in str(caught.value)
    assert ".recover" in str(caught.value)


def test_a_full_store_refuses_what_is_new_and_can_be_worked_off(path: Path) -> None:
    with open_broker(f"sqlite:///{path}?max_size=1000000") as broker:
        sent: list[str] = []
        with pytest.raises(StoreFull, match="max_size"):
            for number in range(100):
                batch = [message(f"task-{number}-{place}", 1000) for place in range(100)]
                assert broker.enqueue(batch) == ()
                sent += [one.id for one in batch]
        assert 300 < len(sent) < 1000
        assert path.stat().st_size <= 1_000_000
        # What was refused left no trace, and everything that was accepted is there.
        found = broker.page(["PENDING"], None, 0, 2000)
        assert [record.id for record in found] == sent
        done = 0
        while deliveries := broker.claim(["celery"], 50, "w", 30.0):
            assert broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries]) == ()
            done += len(deliveries)
        assert done == len(sent)
        assert broker.enqueue([message("again", 1000)]) == ()


COMPLAIN = """
import os, sys
from celeriac.brokers import open_broker
from celeriac.core.message import Message
broker = open_broker(sys.argv[1])
if os.geteuid() == 0:  # Root may do everything; whoever else runs the tests is nobody special already.
    os.setgid(65534)
    os.setuid(65534)
try:
    broker.enqueue([Message(id="b", task="proj.add")])
except Exception as exc:
    print(type(exc).__name__, exc)
"""


def protect_file(path: Path) -> None:
    path.chmod(0o444)


def protect_directory(path: Path) -> None:
    path.chmod(0o666)
    path.parent.chmod(0o555)


def hide(path: Path) -> None:
    path.chmod(0)


@pytest.mark.parametrize("protect", [protect_file, protect_directory, hide])
def test_a_file_that_may_not_be_written_is_named_with_what_to_check(protect: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        os.chmod(tmp, 0o755)
        path = Path(tmp) / "open" / "tasks.db"
        path.parent.mkdir()
        path.parent.chmod(0o777)
        with open_broker(f"sqlite:///{path}") as broker:
            broker.enqueue([message()])
        protect(path)
        command = [sys.executable, "-c", COMPLAIN, f"sqlite:///{path}"]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=30).stdout
        path.parent.chmod(0o755)
    assert said.startswith(BrokerError.__name__)
    assert str(path) in said
    assert "permissions" in said


def test_an_upgrade_takes_the_missing_steps_and_all_of_them_or_none(path: Path) -> None:
    connection = raw(path)
    first, second = "CREATE TABLE one (a TEXT);\n", "-- A comment; with a semicolon.\nCREATE TABLE two (b TEXT);\n"
    upgrade(connection, str(path), [first])
    assert version_of(connection, str(path), 2) == 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        upgrade(connection, str(path), [first, second + "INSERT INTO three VALUES (1);\n"])
    assert version_of(connection, str(path), 2) == 1
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'two'").fetchone() == (0,)
    upgrade(connection, str(path), [first, second])
    assert version_of(connection, str(path), 2) == 2
    upgrade(connection, str(path), [first, second])
    with pytest.raises(SchemaError, match="has schema version 2"):
        upgrade(connection, str(path), [first])
    connection.close()


def test_numbers_of_messages_are_not_given_out_again_by_a_new_file(tmp_path: Path) -> None:
    # A worker that still holds leases of the old file must not settle messages of the new one with them.
    connection = raw(tmp_path / "a.db")
    upgrade(connection, "a.db", MIGRATIONS)
    ((first,),) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchall()
    assert 2**43 < first < 2**47  # Seconds since 2020, and room for 262,144 messages in each.
    connection.close()


def test_a_file_that_is_replaced_is_noticed(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker, open_broker(f"sqlite:///{path}") as other:
        broker.enqueue([message("old")])
        waiter = broker.waiter()
        for name in (path, path.with_name("tasks.db-wal"), path.with_name("tasks.db-shm")):
            name.unlink()
        other.enqueue([message("new")])
        assert waiter.wait(10) is True
        deadline = 200
        while not (found := broker.get(["old", "new"])) or found[0].id == "old":
            deadline -= 1
            assert deadline, "the old file is still in use"
            waiter.wait(0.05)
        assert [record.id for record in found] == ["new"]
        waiter.close()


def test_a_remote_command_that_nobody_can_read_does_not_keep_others_from_being_read(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        _, cursor = broker.commands(None)
        broker.broadcast(Command(id="before", name="ping"))
        connection = raw(path)
        connection.execute("INSERT INTO command (expires, record) VALUES (1e12, x'c1ff00')")
        connection.close()
        broker.broadcast(Command(id="after", name="ping"))
        commands, cursor = broker.commands(cursor)
        assert [command.id for command in commands] == ["before", "after"]
        assert broker.commands(cursor) == ((), cursor)


def test_a_text_that_cannot_be_encoded_is_named(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        with pytest.raises(InvalidTaskError, match=r"ud800' cannot be kept"):
            broker.get(["\ud800"])
        assert broker.stats() == []
