"""The table of promises says of each broker what its driver says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.brokers import connect
from tests.docs.pages import PROJECT

PAGE = PROJECT / "docs" / "explanation" / "choosing-a-broker.md"
DRIVERS: dict[str, Any] = {
    "memory": connect("memory://choosing"),
    "SQLite": connect("sqlite:///choosing.db"),
    "Redis, Valkey": connect("redis://localhost/0"),
    "PostgreSQL": connect("postgresql://localhost/choosing"),
    "RabbitMQ and a store": connect("amqp://localhost", store="redis://localhost/0"),
    "RabbitMQ alone": connect("amqp://localhost"),
}
STORED = (
    "revoking a task",
    "dead letters with `celeriac dlq`, `inspect`, `control`",
    "a superseded run cannot settle",
    "runs that killed their process are counted, then a dead letter",
)
"""Promises that a broker without a store cannot make."""


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the table of promises, by row and column."""
    lines = PAGE.read_text().split("## What each promises")[1].split("## ")[0].splitlines()
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: dict(zip(head[1:], cells, strict=True)) for name, *cells in rows}


def test_each_broker_has_a_column() -> None:
    assert all(list(row) == list(DRIVERS) for row in table().values())


@pytest.mark.parametrize("broker", DRIVERS)
def test_a_column_says_what_the_driver_says(broker: str) -> None:
    said = {name: cells[broker] for name, cells in table().items()}
    driver, capabilities = DRIVERS[broker], DRIVERS[broker].capabilities
    reach = "the network" if capabilities.remote else "one machine" if capabilities.shared else "one process"
    assert said["who can reach it"] == reach
    assert (said["accepted tasks outlive"] == "nothing") == (not capabilities.durable)
    assert said["sent with the commit of your transaction"].startswith("[yes]") == hasattr(driver, "performer_on")
    first = said["the same id sent twice"].partition(" ")[0]
    assert (first in ("dropped", "likewise")) == capabilities.indexed
    for promise in STORED:
        assert said[promise].startswith("yes") == capabilities.stored, promise
