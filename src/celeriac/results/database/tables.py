"""The tables of the store, for every dialect. Pure.

``id`` is compared byte by byte everywhere: in MySQL and MariaDB, whose texts ignore case and trailing blanks, it is
kept as bytes. ``over_until`` says in one number what a late interim result must not replace: 0 where the task goes on,
else the time until which the result of one that is over holds. ``version`` is made of the
payload and changes with it, for those who wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, TypeDecorator
from sqlalchemy.dialects import mssql, mysql

from celeriac.core.ids import MAX_ID_BYTES

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.types import TypeEngine

VERSION: Final = 1
"""The version of the tables that this code reads and writes."""
FOREVER: Final = 1e15
"""``over_until`` of a result that does not expire."""
STATE_LENGTH: Final = 100
"""Characters of a state that people see in the table; readers take it from the payload."""
_AS_BYTES: Final = frozenset({"mysql", "mariadb", "mssql"})


class TaskId(TypeDecorator[str]):
    """A task id that is compared exactly."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mssql":
            return dialect.type_descriptor(mssql.VARBINARY(MAX_ID_BYTES))  # type: ignore[no-untyped-call]
        if dialect.name in _AS_BYTES:
            return dialect.type_descriptor(mysql.VARBINARY(MAX_ID_BYTES))
        return dialect.type_descriptor(String(MAX_ID_BYTES))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        if value is None or dialect.name not in _AS_BYTES:
            return value
        return value.encode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return value if value is None or isinstance(value, str) else bytes(value).decode()


class Tables:
    """The tables under their configured names.

    Args:
        name: Of the table of results.
        schema: Where it is; None is the database's default.
    """

    def __init__(self, name: str, schema: str | None) -> None:
        self.metadata: Final = MetaData(schema=schema)
        # InnoDB, because results are stored in transactions; utf8mb4, because a state may be any text.
        options: dict[str, Any] = {
            f"{dialect}_{key}": value
            for dialect in ("mysql", "mariadb")
            for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
        }
        moment: Double[float] = Double()
        payload = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
        self.result: Final = Table(
            name,
            self.metadata,
            Column("id", TaskId(MAX_ID_BYTES), primary_key=True),
            Column("state", String(STATE_LENGTH), nullable=False),
            Column("over_until", moment, nullable=False),
            Column("expires", moment, nullable=True),
            Column("version", BigInteger(), nullable=False),
            Column("payload", payload, nullable=False),
            **options,
        )
        Index(f"{name}_expires", self.result.c.expires)
        self.version: Final = Table(
            f"{name}_version",
            self.metadata,
            Column("version", Integer(), primary_key=True, autoincrement=False),
            **options,
        )
