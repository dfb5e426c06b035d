"""The drivers under test in the reliability suite."""

from __future__ import annotations

from typing import Final

from tests.support.backing import Backing, RedisBacking, SqliteBacking
from tests.support.backing_postgres import PostgresBacking
from tests.support.backing_rabbitmq import RabbitBacking

BACKINGS: Final[dict[str, type[Backing]]] = {
    one.name: one for one in (SqliteBacking, RedisBacking, PostgresBacking, RabbitBacking)
}
"""Each by its name."""
