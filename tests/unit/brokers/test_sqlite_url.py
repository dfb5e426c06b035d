"""What a sqlite URL may say, and what is said about one that may not."""

import os
from pathlib import Path

import pytest

from celeriac.brokers.sqlite.url import Location, parse
from celeriac.errors import ImproperlyConfigured


def test_three_slashes_are_relative_to_where_we_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    location = parse("sqlite:///sub/tasks.db")
    monkeypatch.chdir("/")
    assert location == Location(path=str(tmp_path / "sub" / "tasks.db"))
    assert (location.synchronous, location.busy_timeout, location.max_size) == ("normal", 5.0, None)


def test_four_slashes_are_absolute() -> None:
    assert parse("sqlite:////var/lib/tasks.db").path == "/var/lib/tasks.db"


def test_a_path_may_be_quoted() -> None:
    assert parse("sqlite:////srv/a%20b/100%25%3F.db").path == "/srv/a b/100%?.db"


def test_parameters() -> None:
    location = parse("sqlite:////x.db?synchronous=FULL&busy_timeout=0.25&max_size=1000000")
    assert (location.synchronous, location.busy_timeout, location.max_size) == ("full", 0.25, 1_000_000)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", ["path is missing", "sqlite:///celeriac.db"]),
        ("sqlite:///", ["path of a file is missing"]),
        ("sqlite:///:memory:", ["memory://"]),
        ("sqlite://tasks.db", ["no host", "sqlite:///tasks.db"]),
        ("sqlite:///dir/", ["not the path of a file"]),
        ("sqlite:///a%00b", ["not the path of a file"]),
        ("sqlite:///x.db?synchronos=full", ["'synchronos'", "did you mean 'synchronous'?"]),
        ("sqlite:///x.db?zzz=1", ["'zzz'", "busy_timeout, max_size, synchronous"]),
        ("sqlite:///x.db?synchronous=off", ["synchronous=off", "normal", "full"]),
        ("sqlite:///x.db?busy_timeout=soon", ["busy_timeout=soon", "seconds"]),
        ("sqlite:///x.db?busy_timeout=-1", ["busy_timeout=-1"]),
        ("sqlite:///x.db?busy_timeout=nan", ["busy_timeout=nan"]),
        ("sqlite:///x.db?busy_timeout=", ["busy_timeout="]),
        ("sqlite:///x.db?max_size=10MB", ["max_size=10MB", "bytes"]),
        ("sqlite:///x.db?max_size=4096", ["max_size=4096", "at least"]),
    ],
)
def test_what_is_wrong_is_named(url: str, words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        parse(url)
    text = str(caught.value)
    assert all(word in text for word in words), text


def test_the_path_is_absolute_whatever_the_url() -> None:
    assert os.path.isabs(parse("sqlite:///x.db").path)


@pytest.mark.parametrize("url", ["sqlite://user:hunter2@host/x.db", "sqlite:///x.db?password=hunter2"])
def test_errors_show_no_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        parse(url)
    assert "hunter2" not in str(caught.value)
