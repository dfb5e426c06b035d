"""A URL leads to its driver, or to an error that says which URLs there are."""

from pathlib import Path

import pytest

from celeriac import brokers, results
from celeriac.brokers import connect, open_async_broker, open_broker
from celeriac.errors import CeleriacError, ImproperlyConfigured


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///x.db", "sqlite"),
        ("memory://", "memory"),
        ("MEMORY://a", "memory"),
        ("redis://h", "redis"),
        ("valkeys://h", "redis"),
        ("unix:///run/redis.sock", "redis"),
        ("sentinel://h?master_name=m", "redis"),
        ("redis+cluster://h", "redis"),
    ],
)
def test_a_scheme_leads_to_its_driver(url: str, name: str) -> None:
    assert connect(url).capabilities.name == name
    assert open_broker(url).capabilities.name == name
    assert open_async_broker(url).capabilities.name == name


def complaint(url: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        connect(url)
    text = str(caught.value)
    assert "memory://, postgres://" in text
    assert "redis://" in text
    assert "sqlite://" in text
    return text


@pytest.mark.parametrize("url", ["rpc://h", "db+sqlite:///x", "disabled://"])
def test_a_result_backend_is_no_broker(url: str) -> None:
    assert "the URL of a result backend, and not of a broker" in complaint(url)


@pytest.mark.parametrize(("url", "guess"), [("sqlte:///x", "sqlite://"), ("reddis://h", "redis://")])
def test_an_unknown_scheme_is_guessed(url: str, guess: str) -> None:
    assert f"did you mean {guess}?" in complaint(url)


def test_a_scheme_like_no_other_is_not_guessed() -> None:
    assert "did you mean" not in complaint("mongodb://h")


@pytest.mark.parametrize("url", ["", "x.db", "/var/x.db", "://", "redis:h"])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "sqlite:///celeriac.db" in complaint(url)


def test_no_password_gets_into_an_error() -> None:
    for url in ("rpc://user:s3cret@host//", "user:s3cret@host", "nosuch://user:s3cret@host"):
        assert "s3cret" not in complaint(url)


def test_memory_takes_no_parameters() -> None:
    with pytest.raises(ImproperlyConfigured, match="memory://tests"):
        connect("memory://a?size=3")


def test_the_place_of_a_store_does_not_depend_on_how_its_url_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    assert brokers.place("sqlite:///a.db") == brokers.place(f"sqlite:///{tmp_path}/link/a.db?synchronous=full")
    assert brokers.place("sqlite:///a.db") != brokers.place("sqlite:///b.db")
    assert brokers.place("memory://") == brokers.place("memory:///")
    assert brokers.place("memory://a") != brokers.place("memory://b")


@pytest.mark.parametrize(
    ("broker", "backend", "same"),
    [
        ("memory://a", "memory://a/", True),
        ("memory://a", "memory://b", False),
        ("sqlite:///a.db", "sqlite:///./a.db?busy_timeout=1", True),
        ("sqlite:///a.db", "memory://", False),
        ("sqlite:///a.db", None, False),
        ("sqlite:///a.db", "disabled://", False),
        ("redis://h", "redis://:secret@h:6379/0?timeout=3", True),
        ("redis://h", "valkey://h", True),
        ("redis://h", "redis://h/1", False),
        ("redis://h", "redis://h?prefix=other", False),
        ("redis+cluster://a,b", "redis+cluster://b,a", True),
        ("sentinel://a?master_name=m", "sentinel://a?master_name=n", False),
    ],
)
def test_whether_broker_and_backend_are_one(broker: str, backend: str | None, same: bool) -> None:
    assert results.same_store(broker, backend) is same


def test_a_wrong_backend_is_said_to_be_one() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"result backend URL nosuch://.*disabled://, memory://"):
        results.connect("nosuch://")
    with pytest.raises(CeleriacError, match="must begin with a scheme"):
        results.connect("x.db")
