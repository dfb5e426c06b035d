"""The store's structure is made once, however often and by however many it is asked for."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.errors import SchemaError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit

group = Group("schema", installed=False)
missing = Group("schema-missing", installed=False, needs=lambda capabilities: capabilities.durable)


@group
async def install_makes_the_store_usable_and_tells_its_version(kit: Kit) -> None:
    version = await kit.broker.install()
    assert version >= 1
    assert await kit.broker.verify() == version
    await kit.send("a")
    assert await kit.drain() == ["a"]


@group
async def installing_again_changes_nothing(kit: Kit) -> None:
    version = await kit.broker.install()
    await kit.send("a")
    assert await kit.broker.install() == version
    assert await kit.drain() == ["a"]


@group
async def many_may_install_at_once(kit: Kit) -> None:
    brokers = [kit.another() for _ in range(6)]
    versions = await asyncio.gather(*(broker.install() for broker in brokers))
    assert len(set(versions)) == 1
    assert await kit.broker.verify() == versions[0]


@missing
async def verify_says_what_to_do_where_nothing_is_installed(kit: Kit) -> None:
    with pytest.raises(SchemaError) as caught:
        await kit.broker.verify()
    assert len(str(caught.value)) > 20
