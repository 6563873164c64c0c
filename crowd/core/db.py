"""The database: engines for SQLite and PostgreSQL, column types, and transactions.

Transactions open and commit here, at the edges of a process (a request, a job, a command);
nothing below an edge commits.
"""

import enum
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect, Engine, Row
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool

E = TypeVar("E", bound=enum.StrEnum)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# A row, and a SELECT, of whatever columns the statement names.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]
AnySelect: TypeAlias = sa.Select[*tuple[Any, ...]]

# SQLite gives only INTEGER PRIMARY KEY an automatic value.
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """The declarative base of every room's models."""

    metadata = sa.MetaData(naming_convention=NAMING)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; aware in Python on both databases (SQLite itself keeps no zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone is no moment")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Coded(sa.types.TypeDecorator[E], Generic[E]):
    """A StrEnum kept as a small integer: its place in the enum, counted from 0.

    Members may therefore be added at the end, never reordered.
    """

    impl = sa.SmallInteger
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind
        self._codes = {member: code for code, member in enumerate(kind)}
        self._members = list(kind)

    def code(self, member: E) -> int:
        """The stored number of `member`."""
        return self._codes[member]

    def process_bind_param(self, value: E | None, dialect: Dialect) -> int | None:
        return None if value is None else self._codes[self.kind(value)]

    def process_literal_param(self, value: E | None, dialect: Dialect) -> str:
        return "NULL" if value is None else str(self._codes[self.kind(value)])

    def process_result_value(self, value: int | None, dialect: Dialect) -> E | None:
        return None if value is None else self._members[value]

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self


def literal(member: E, kind: Coded[E]) -> sa.ColumnElement[E]:
    """`member` written into the SQL text.

    A bound parameter would hide it from the planner: under a generic plan PostgreSQL then
    no longer sees that a partial index applies, and scans the table.
    """
    return sa.literal_column(str(kind.code(member)), type_=kind)


class Database:
    """One engine and its transactions."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _engine(url, pool_size)
        # One writer at a time is all SQLite has; queueing here is fair, its busy wait is not.
        self._writing = threading.RLock() if self.is_sqlite else None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: commits at the end of the block, rolls back on an error."""
        with self._writing or nullcontext(), self.engine.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A reading transaction; on SQLite it takes no write lock."""
        with (
            self.engine.connect().execution_options(reads_only=True) as conn,
            conn.begin(),
        ):
            yield conn

    def close(self) -> None:
        """Give every pooled connection back."""
        self.engine.dispose()


def _engine(url: str, pool_size: int) -> Engine:
    if not url.startswith("sqlite"):
        # The session's own time-out keeps a stalled client from holding a snapshot open.
        return sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=20,
            connect_args={
                "connect_timeout": 5,
                "options": "-c idle_in_transaction_session_timeout=60000 -c timezone=UTC",
            },
        )
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=8,
        connect_args={"timeout": 30},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself: _begin_sqlite decides how they start.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    # IMMEDIATE: a deferred transaction that reads first and writes later fails at once with
    # SQLITE_BUSY when another writer came between, whatever the busy time-out says.
    reads_only = conn.get_execution_options().get("reads_only", False)
    conn.exec_driver_sql("BEGIN DEFERRED" if reads_only else "BEGIN IMMEDIATE")
