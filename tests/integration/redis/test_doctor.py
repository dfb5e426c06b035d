"""The doctor on real Redis servers: one in order, one that forgets, one that refuses, one that is not there."""

from __future__ import annotations

import shlex

import pytest

from celeriac.app.doctor import examine_broker, try_out, worst
from celeriac.brokers import open_broker
from celeriac.brokers.port import Finding
from celeriac.core.clock import SYSTEM
from tests.support.servers import RedisServer


def examined(url: str, *, installs: bool = True) -> dict[str, Finding]:
    with open_broker(url) as broker:
        if installs:
            broker.install()
        found = [*examine_broker(broker, SYSTEM), *(try_out(broker) if installs else ())]
    return {finding.subject: finding for finding in found}


def test_a_server_that_keeps_what_it_accepts_has_no_warning_and_passes_the_trial() -> None:
    with RedisServer(appendonly=True, password="hunter2") as server:
        missing = examined(server.url, installs=False)
        assert missing["connection"].level == worst(missing.values()) == "error"
        assert "celeriac db upgrade" in missing["connection"].remedy
        assert missing["durability"].level == missing["eviction"].level == "ok"
        found = examined(server.url)
        with server.client() as client:
            left = set(client.keys("*doctor*"))
    assert found["trial"].level == "ok", found["trial"]
    assert {one.subject for one in found.values() if one.level in ("warning", "error")} == set()
    assert left == set()
    assert "hunter2" not in repr(found)


def test_a_server_that_forgets_is_warned_about() -> None:
    with RedisServer(options={"maxmemory-policy": "allkeys-lru"}) as server:
        found = examined(server.url)
    assert found["durability"].level == "warning"
    assert found["eviction"].level in ("warning", "error")


def test_a_server_that_cannot_be_used_is_an_error_without_its_password() -> None:
    with RedisServer(password="hunter2") as server:
        refused = examined(server.url.replace("hunter2", "hunter3"), installs=False)
    gone = examined(server.url, installs=False)
    for found in (refused, gone):
        assert list(found) == ["connection"]
        assert found["connection"].level == "error"
        assert found["connection"].remedy
        assert "hunter" not in repr(found)


@pytest.mark.parametrize(
    ("rights", "lacks"),
    [
        (("~other*", "&*", "+@all"), "change keys that begin with {celeriac}"),
        (("~*", "resetchannels", "+@all"), "publish on channels that begin with {celeriac}"),
        (("~*", "&*", "+@all", "-evalsha"), "run scripts"),
        (("~*", "&*", "+@all", "-time"), "ask for the time"),
    ],
)
def test_a_right_that_a_user_lacks_is_named_and_what_is_said_to_help_helps(rights: tuple[str, ...], lacks: str) -> None:
    with RedisServer(appendonly=True) as server:
        assert examined(server.url)["permissions"].level == "ok"
        server.ask("ACL", "SETUSER", "app", "on", ">pw", *rights)
        url = server.url.replace("redis://", "redis://app:pw@")
        found = examined(url, installs=False)
        assert found["permissions"].level == "error"
        assert lacks in found["permissions"].text
        _, _, _, *words = shlex.split(found["permissions"].remedy)
        server.ask("ACL", "SETUSER", "app", "reset", "on", ">pw", *words)
        found = examined(url)
        assert found["permissions"].level == found["trial"].level == "ok"
        assert server.ask("EXISTS", "{celeriac}:nothing") == 0
