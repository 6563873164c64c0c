"""Statements compiled once give what SQLAlchemy's own `execute` gives, and fail as it does."""

import enum
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from crowd.core.db import Base, Coded, Database, Json, UtcDateTime
from crowd.core.statements import Statement

MORNING = datetime(2026, 3, 1, 9, 30, 15, 250_000, tzinfo=UTC)


class Mood(enum.StrEnum):
    """Something kept as a small integer."""

    CALM = "calm"
    WILD = "wild"


things = sa.Table(
    "statement_things",
    sa.MetaData(naming_convention=Base.metadata.naming_convention),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mood", Coded(Mood)),
    sa.Column("at", UtcDateTime),
    sa.Column("said", Json),
    sa.Column("times", sa.Integer, nullable=False, server_default="0"),
)
ADD = Statement(sa.insert(things))
BY_ID = Statement(sa.select(*things.c).where(things.c.id == sa.bindparam("of", type_=sa.Integer)))
THESE = Statement(
    sa.select(things.c.id, things.c.mood)
    .where(
        things.c.id.in_(sa.bindparam("ids", type_=sa.Integer, expanding=True)),
        things.c.mood.in_((Mood.CALM, Mood.WILD)),
        things.c.mood != sa.bindparam("but", type_=things.c.mood.type),
    )
    .order_by(things.c.id)
)
RAISE = Statement(
    sa.update(things)
    .where(things.c.mood == sa.bindparam("of_mood", type_=things.c.mood.type))
    .values(times=things.c.times + 1)
)
RAISE_ONE = Statement(
    sa.update(things)
    .where(things.c.id == sa.bindparam("of", type_=sa.Integer))
    .values(times=things.c.times + 1, mood=Mood.WILD)
    .returning(things.c.times, things.c.at)
)


READ = Statement(sa.select(things.c.at, sa.func.abs(things.c.times).label("times")).order_by(things.c.id))
# A second row that the database finds well enough, and that fails when it is read.
UNREADABLE = {
    "sqlite": "UPDATE statement_things SET times = -9223372036854775808 WHERE id = 2",
    "postgresql": "UPDATE statement_things SET at = 'infinity' WHERE id = 2",
}


def thing(number: int, **words: Any) -> dict[str, Any]:
    return {"id": number, "mood": Mood.CALM, "at": MORNING, "said": {"a": [1, "ä"]}, **words}


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.begin() as conn:
        things.create(conn)
    yield database
    with database.begin() as conn:
        things.drop(conn)
    database.close()


def test_what_goes_in_comes_out_with_the_types_of_the_columns(db: Database) -> None:
    with db.begin() as conn:
        assert ADD.change(conn, thing(1)) == 1
        row = BY_ID.run(conn, {"of": 1}).one()
        assert row == conn.execute(BY_ID.construct, {"of": 1}).one()
    assert (row.id, row.mood, row.at, row.said, row.times) == (1, Mood.CALM, MORNING, {"a": [1, "ä"]}, 0)
    assert row._mapping["mood"] is Mood.CALM


def test_nothing_found_is_an_empty_result(db: Database) -> None:
    with db.read() as conn:
        assert BY_ID.run(conn, {"of": 7}).one_or_none() is None
        assert BY_ID.run(conn, {"of": 7}).all() == []


def test_lists_of_any_length_beside_values_that_never_change(db: Database) -> None:
    with db.begin() as conn:
        for number in range(1, 6):
            ADD.change(conn, thing(number, mood=Mood.WILD if number % 2 else Mood.CALM))
        for ids in ([1, 2, 3], [4], [], [1, 2, 3, 4, 5], [3, 9]):
            values = {"ids": ids, "but": Mood.CALM}
            found = THESE.run(conn, values).all()
            assert found == conn.execute(THESE.construct, values).all()
            assert [row.id for row in found] == [number for number in ids if number in (1, 3, 5)]


def test_an_update_tells_how_many_rows_it_wrote(db: Database) -> None:
    with db.begin() as conn:
        for number in range(3):
            ADD.change(conn, thing(number, mood=Mood.WILD if number else Mood.CALM))
        assert RAISE.change(conn, {"of_mood": Mood.WILD}) == 2
        assert RAISE.change(conn, {"of_mood": Mood.CALM}) == 1
        assert RAISE_ONE.run(conn, {"of": 2}).one() == (2, MORNING)


def test_a_refusal_of_the_database_is_sqlalchemys_and_rolls_back(db: Database) -> None:
    def add_twice() -> None:
        with db.begin() as conn:
            ADD.change(conn, thing(1))
            ADD.change(conn, thing(1))

    with pytest.raises(exc.IntegrityError):
        add_twice()
    with db.read() as conn:
        assert BY_ID.run(conn, {"of": 1}).all() == []


def test_listeners_hear_of_it(db: Database) -> None:
    heard: list[str] = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda _c, _k, text, *_: heard.append(text))
    with db.read() as conn:
        BY_ID.run(conn, {"of": 1})
        conn.execute(BY_ID.construct, {"of": 1})
    ours, its = [text for text in heard if "statement_things" in text]
    assert ours == its


def test_it_runs_in_a_transaction_only(db: Database) -> None:
    with db.engine.connect() as conn, pytest.raises(AssertionError):
        ADD.change(conn, thing(1))
    with db.read() as conn:
        assert BY_ID.run(conn, {"of": 1}).all() == []


def test_a_connection_that_broke_is_let_go(db: Database) -> None:
    if db.is_sqlite:
        pytest.skip("SQLite has no server that could go away")

    def lose_the_connection() -> None:
        with db.begin() as conn:
            own = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with db.begin() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({own})")
            BY_ID.run(conn, {"of": 1})

    with pytest.raises(exc.DBAPIError) as refused:
        lose_the_connection()
    assert refused.value.connection_invalidated
    with db.begin() as conn:
        assert ADD.change(conn, thing(1)) == 1


def test_a_connection_that_was_closed_fails_as_sqlalchemys_own_does(db: Database) -> None:
    def run_on_closed() -> None:
        with db.begin() as conn:
            assert conn.connection.dbapi_connection is not None
            conn.connection.dbapi_connection.close()
            BY_ID.run(conn, {"of": 1})

    with pytest.raises(exc.DBAPIError) as refused:
        run_on_closed()
    assert refused.value.connection_invalidated
    assert "statement_things" in str(refused.value)
    with db.begin() as conn:
        assert ADD.change(conn, thing(1)) == 1


def test_an_error_while_rows_are_read_is_sqlalchemys(db: Database) -> None:
    with db.begin() as conn:
        for number in (1, 2):
            ADD.change(conn, thing(number))
        conn.exec_driver_sql(UNREADABLE[conn.dialect.name])
    for run in (READ.run, lambda conn, values: conn.execute(READ.construct, values).all()):
        with pytest.raises(exc.DBAPIError) as refused, db.read() as conn:
            run(conn, {})
        assert refused.type is (exc.OperationalError if db.is_sqlite else exc.DataError)
