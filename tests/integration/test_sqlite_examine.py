"""What a SQLite broker says about its own file, with real files in real trouble."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.port import Finding
from celeriac.brokers.sqlite.operations import SqliteOperations
from celeriac.brokers.sqlite.operations.examine import CHECKED_SIZE, LITTLE_ROOM, LONG_LOG, Place
from celeriac.core.message import Message
from celeriac.errors import SchemaError
from tests.support.site import PATIENCE, Site
from tests.support.waiting import wait_for

SOUND = Place(mode=0o600, directory_mode=0o755, file_system="ext4", size=4096, log_size=0, free=2 * LITTLE_ROOM)


def examined(path: Path, **options: str) -> dict[str, Finding]:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    with open_broker(f"sqlite:///{path}?{query}" if query else f"sqlite:///{path}") as broker:
        return {finding.subject: finding for finding in broker.examine()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "q.db"
    with open_broker(f"sqlite:///{found}") as broker:
        broker.enqueue([Message(id=f"t{n}", task="t", body=b"x" * 2000) for n in range(400)])
    found.chmod(0o600)
    return found


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker, pytest.raises(SchemaError, match="does not exist yet"):
        broker.examine()
    assert not list(tmp_path.iterdir())


def test_durability_follows_the_url(path: Path) -> None:
    assert examined(path)["durability"].level == "advice"
    assert examined(path, synchronous="full")["durability"].level == "ok"


@pytest.mark.parametrize(("mode", "level"), [(0o600, "ok"), (0o644, "advice"), (0o666, "warning")])
def test_permissions_are_judged(path: Path, mode: int, level: str) -> None:
    path.parent.chmod(0o755)
    path.chmod(mode)
    assert examined(path)["permissions"].level == level


def test_a_closed_directory_closes_the_file(path: Path) -> None:
    path.chmod(0o644)
    path.parent.chmod(0o700)
    assert examined(path)["permissions"].level == "ok"


def test_a_file_that_may_hardly_grow_is_found(path: Path) -> None:
    size = path.stat().st_size
    assert examined(path, max_size=str(max(1_000_000, size + 4096)))["disk space"].level == "warning"
    assert examined(path)["disk space"].level in ("ok", "warning")  # As the machine is.


def test_a_damaged_page_is_found(path: Path) -> None:
    assert examined(path)["integrity"].level == "ok"
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((root,),) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'message_ready'").fetchall() or [
            raw.execute("SELECT max(rootpage) FROM sqlite_schema").fetchone()
        ]
    raw.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 64)
    assert examined(path)["integrity"].level == "error"


def test_a_lost_index_is_found(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        ((name,), *_) = raw.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql > ''").fetchall()
        raw.execute(f"DROP INDEX {name}")
    raw.close()
    found = examined(path)["schema"]
    assert found.level == "error"
    assert name in found.text


def test_a_worker_logs_what_may_lose_work_and_works(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.broker.install()
    (tmp_path / "q.db").chmod(0o666)
    try:
        site.worker("w", "-c", "1", "-l", "INFO")
        assert site.run("call", "proj.tasks.add", "-a", "[1]", "--wait", "-t", "20").out == "1\n"
        wait_for(lambda: "broker, permissions: permissions are 0666" in site.log("w"), PATIENCE, "the warning")
        assert site.log("w").count("broker, permissions") == 1
        assert "durability" not in site.log("w")  # Which is advice.
    finally:
        site.close()


@pytest.mark.parametrize(
    ("subject", "level", "change"),
    [
        ("file system", "error", {"file_system": "nfs4"}),
        ("file system", "warning", {"file_system": "tmpfs"}),
        ("file system", "advice", {"file_system": "overlay"}),
        ("file system", "ok", {"file_system": ""}),
        ("disk space", "warning", {"free": LITTLE_ROOM - 1}),
        ("disk space", "error", {"free": 1}),
        ("log", "warning", {"log_size": LONG_LOG + 1}),
        ("integrity", "ok", {"size": CHECKED_SIZE + 1}),
    ],
)
def test_what_the_operating_system_says_is_judged(subject: str, level: str, change: dict[str, object]) -> None:
    found = judged(msgspec.structs.replace(SOUND, **change))
    assert found[subject].level == level
    assert {one.subject for one in found.values() if one.level != "ok"} <= {subject, "schema"}


def judged(place: Place) -> dict[str, Finding]:
    """Drive the operation by hand, on a place that this machine need not have."""
    operation = SqliteOperations().examine()
    next(operation)
    reply = [
        [(msgspec.json.encode(place).decode(),)],
        [("wal",)],
        [(2,)],
        [(4096,)],
        [(2**30,)],
        [(0, 1)],
        [],
    ]
    try:
        operation.send(reply)  # type: ignore[arg-type]
        operation.send([[("ok",)]])
    except StopIteration as stop:
        return {finding.subject: finding for finding in stop.value}
    raise AssertionError("it asked for more")
