"""Servers for the tests of this folder: one for all that need nothing special, others where they are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import Certificates, RedisCluster, RedisSentinels, RedisServer


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """A server without data and without scripts."""
    shared_server.ask("FLUSHALL")
    shared_server.ask("SCRIPT", "FLUSH")
    return shared_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server to restart, pause and kill."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: Path = tmp_path_factory.mktemp("certificates")
    return Certificates(folder)


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def sentinels() -> Iterator[RedisSentinels]:
    with RedisSentinels(password="s3cret pw", sentinel_password="s3cret-s") as sentinels:
        yield sentinels
