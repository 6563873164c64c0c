"""Fills the tables of kept figures as a project's 60 days leave them: rows by day and person, not by task."""

from typing import Any

import psycopg
from psycopg import sql

from crowd.policy import Stage
from crowd.steering.models import Basis

DAYS = 60
_STAGES = len(Stage)
_EVERY_DAY = f"generate_series(0, {DAYS - 1}) AS d"
_DAY = "(now() AT TIME ZONE 'utc')::date - d AS day"
_WEEK = "date_trunc('week', now() AT TIME ZONE 'utc')::date - 7 * d AS week"
_WEEKS = f"generate_series(0, {DAYS // 7}) AS d"

# Table → its key's columns, and what its rows are made from; every sum in them is the same small number.
# People by id stand at two stages each; 23 styles; a week's verdicts of two seats meet in 25 ways.
ROWS = {
    "work_days": (
        f"{_DAY}, w.id AS worker_id, 0 AS group_id, (w.id + s) % {_STAGES} AS stage",
        f"{_EVERY_DAY}, workers w, generate_series(0, 1) AS s",
    ),
    "supplier_days": (
        f"{_DAY}, p.id AS supplier_id, s AS stage",
        f"{_EVERY_DAY}, suppliers p, generate_series(0, {_STAGES - 1}) AS s",
    ),
    "image_days": (f"{_DAY}, p.id AS supplier_id", f"{_EVERY_DAY}, suppliers p"),
    "style_days": (f"{_DAY}, 'style ' || s AS style", f"{_EVERY_DAY}, generate_series(1, 23) AS s"),
    "error_days": (
        f"{_DAY}, w.id AS worker_id, 0 AS group_id, 1 + w.id % 20 AS supplier_id, w.id % 3 AS stage,"
        " 'style ' || w.id % 23 AS style, 'wrong_' || s AS code",
        f"{_EVERY_DAY}, workers w, generate_series(1, 3) AS s",
    ),
    "fix_days": (
        f"{_DAY}, w.id AS fixer_id, 0 AS fixer_group_id, 1 + (w.id + s) % 400 AS author_id,"
        " 0 AS author_group_id, 1 + w.id % 20 AS supplier_id, w.id % 3 AS stage",
        f"{_EVERY_DAY}, workers w, generate_series(1, 3) AS s",
    ),
    "agreement_weeks": (
        f"{_WEEK}, {list(Stage).index(Stage.SECOND_REVIEW)} AS stage,"
        f" {list(Basis).index(Basis.INDEPENDENT)} AS basis, 'score' AS variable, w.id AS worker_id,"
        " 0 AS group_id, e = 1 AS earlier, a::text AS a, b::text AS b",
        f"{_WEEKS}, workers w, generate_series(0, 1) AS e, generate_series(1, 5) AS a,"
        " generate_series(1, 5) AS b WHERE w.id % 10 = 0",
    ),
    "supplier_agreement_weeks": (
        f"{_WEEK}, {list(Stage).index(Stage.SECOND_REVIEW)} AS stage,"
        f" {list(Basis).index(Basis.INDEPENDENT)} AS basis, 'score' AS variable, p.id AS supplier_id,"
        " a::text AS a, b::text AS b",
        f"{_WEEKS}, suppliers p, generate_series(1, 5) AS a, generate_series(1, 5) AS b",
    ),
}
A_SUM = 7


def fill(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Put the rows in place of what stands there, and scores of everybody; how many rows in each table."""
    found = {}
    for table, (key, source) in ROWS.items():
        names = [part.rsplit(" AS ", 1)[1] for part in key.split(",") if " AS " in part]
        sums = [name for name in _columns(connection, table) if name not in names]
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
        text = sql.SQL("INSERT INTO {} ({}) SELECT {}, {} FROM {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, [*names, *sums])),
            sql.SQL(key),
            sql.SQL(", ").join([sql.Literal(A_SUM)] * len(sums)),
            sql.SQL(source),
        )
        found[table] = connection.execute(text).rowcount
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
    connection.execute("UPDATE scores SET n = 250, good = 70, bad = 5, at = now(), day_n = 240")
    connection.execute("VACUUM (ANALYZE) scores")
    return found


def _columns(connection: psycopg.Connection[Any], table: str) -> list[str]:
    query = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s"
        " ORDER BY ordinal_position"
    )
    return [name for (name,) in connection.execute(query, [table])]
