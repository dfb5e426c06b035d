"""The two tables of an outbox: the messages, and what their relay has to remember."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.orm import registry

WAITING: Final = 0
PUBLISHED: Final = 1
REFUSED: Final = 2
RELAY: Final = "relay"
"""The name of the one row that a relay has."""
_LONGEST: Final = 2**32 - 1
_MYSQL: Final[dict[str, Any]] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


class Tables:
    """The tables, and a class that is mapped to the messages.

    Args:
        metadata: Where they are kept; migrations made from it then include them.
        prefix: Their names are ``<prefix>`` and ``<prefix>_relay``.
        schema: The schema of the database they are in; None for the default.
    """

    def __init__(self, metadata: MetaData, prefix: str, schema: str | None) -> None:
        self.messages = Table(
            prefix,
            metadata,
            Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
            Column("task_id", String(200), nullable=False),
            Column("task", String(500), nullable=False),
            Column("queue", String(200), nullable=False),
            Column("message", LargeBinary(_LONGEST), nullable=False),
            Column("written", Float(53), nullable=False),
            Column("state", Integer, nullable=False, default=WAITING),
            Column("batch", BigInteger),
            Column("published", Float(53)),
            Column("reason", Text),
            Index(f"{prefix}_state", "state", "id"),
            schema=schema,
            sqlite_autoincrement=True,
            **_MYSQL,
        )
        self.relay = Table(
            f"{prefix}_relay",
            metadata,
            Column("name", String(50), primary_key=True),
            Column("sender", String(100), nullable=False),
            Column("epoch", BigInteger, nullable=False),
            Column("beats", BigInteger, nullable=False),
            Column("number", BigInteger, nullable=False),
            Column("holder", String(250)),
            Column("seen", Float(53)),
            Column("error", Text),
            schema=schema,
            **_MYSQL,
        )
        self.Row: Any = type("OutboxRow", (), {})
        registry(metadata=metadata).map_imperatively(self.Row, self.messages)

    @property
    def both(self) -> list[Table]:
        """The two."""
        return [self.messages, self.relay]
