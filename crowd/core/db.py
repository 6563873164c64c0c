"""The database: engines for SQLite and PostgreSQL, column types, and transactions.

Transactions open and commit here, at the edges of a process (a request, a job, a command);
nothing below an edge commits.
"""

import enum
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar

import sqlalchemy as sa
import structlog
from psycopg.pq import ExecStatus
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect, Engine, Row
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool

log = structlog.get_logger(__name__)
E = TypeVar("E", bound=enum.StrEnum)

# After so long without use a connection may have died unnoticed.
REST_SECONDS = 1.0

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


# By the dialect's name: the INSERT that may say what to do about rows that are there already.
INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def literal(member: E, kind: Coded[E]) -> sa.ColumnElement[E]:
    """`member` written into the SQL text.

    A bound parameter would hide it from the planner: under a generic plan PostgreSQL then
    no longer sees that a partial index applies, and scans the table.
    """
    return sa.literal_column(str(kind.code(member)), type_=kind)


class Database:
    """One engine and its transactions. `most`: connections at most, whatever the address asks for."""

    def __init__(self, url: str, *, pool_size: int = 8, most: int | None = None) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _engine(url, pool_size, most)
        # On PostgreSQL each statement sees what was committed before it, in a transaction or not: reading
        # without one spares two round trips.
        self._reader = self.engine.execution_options(
            **({"reads_only": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"})
        )
        # One writer at a time is all SQLite has; queueing here is fair, its busy wait is not.
        self._writing = threading.RLock() if self.is_sqlite else None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: commits at the end of the block, rolls back on an error."""
        with self._writing or nullcontext(), self.engine.begin() as conn:
            yield conn

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A reading transaction in which every statement sees the same moment; keep it short."""
        options = {"reads_only": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.execution_options(**options).begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """For reading: on SQLite a transaction without the write lock, on PostgreSQL none at all."""
        with self._reader.begin() as conn:
            yield conn

    def close(self) -> None:
        """Give every pooled connection back."""
        self.engine.dispose()


def _engine(url: str, pool_size: int, most: int | None) -> Engine:
    if not url.startswith("sqlite"):
        return _postgres_engine(sa.make_url(url), pool_size, most)
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


def _postgres_engine(url: sa.URL, pool_size: int, most: int | None) -> Engine:
    """An engine for an address in which `pool` and `pooler` of crowd.core.config may stand."""
    chosen = {**url.query}
    options: dict[str, Any] = {"connect_timeout": 5, "fallback_application_name": "crowd"}
    behind_pooler = chosen.get("pooler") == "transaction"
    if behind_pooler:
        # Each transaction may meet another session, where nothing is prepared under this one's names.
        options["prepare_threshold"] = None
    else:
        # The session's own time-out keeps a stalled client from holding a snapshot open. No query here runs
        # as long as compiling it to machine code takes.
        options["options"] = "-c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c jit=off"
    wanted = int(str(chosen.get("pool", pool_size)))
    engine = sa.create_engine(
        url.difference_update_query(["pool", "pooler"]),
        pool_size=wanted if most is None else min(wanted, most),
        max_overflow=0,
        pool_timeout=20,
        connect_args=options,
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _ping_after_rest)
    if behind_pooler:
        event.listen(engine, "first_connect", _warn_of_no_timeout)
    return engine


def _warn_of_no_timeout(dbapi_connection: Any, _record: object) -> None:
    # A pooler refuses the start-up option that would set it, so whoever runs PostgreSQL has to.
    value = dbapi_connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()[0]
    dbapi_connection.rollback()
    if value == "0":
        log.warning(
            "no_idle_timeout",
            advice="ALTER ROLE … SET idle_in_transaction_session_timeout = '60s', see docs/operations.md",
        )


def _note_use(_dbapi_connection: object, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_after_rest(dbapi_connection: Any, record: Any, _proxy: object) -> None:
    """See whether the server is still there, as SQLAlchemy's own ping before each use would.

    Not when the connection was in use a moment ago: on a busy server that ping is every sixth statement.
    """
    if time.monotonic() - record.info.get("used_at", 0.0) < REST_SECONDS:
        return
    if dbapi_connection.pgconn.exec_(b"").status != ExecStatus.EMPTY_QUERY:
        raise exc.InvalidatePoolError


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
