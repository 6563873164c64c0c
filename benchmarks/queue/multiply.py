"""Turns the patterns of a few played images into millions: one INSERT … SELECT a table, inside the server.

It knows columns by their type and by whom they point to, not by name, so that a new column comes along by
itself: people are exchanged for others of their grade, tasks and images numbered anew, moments moved.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.queue.play import PATTERNS, Take, tables

LOADERS = 2
DAYS = 60
# An answer in a script takes milliseconds, a person's many minutes.
STRETCH = 5000
LIVE, OVER = "30 days", "-10 minutes"
# Leases and reservations are alive, or over, at the time of building, however old the image is.
LIMITS = ("lease_until", "reserved_until")
SUPPLIERS, BATCHES = 20, 12

_OVERRIDES = {
    ("images", "sha256"): "sha256(int8send(c.image_id))",
    ("images", "file_name"): "'photo-' || c.image_id || '.jpg'",
    ("images", "supplier_id"): f"1 + c.image_id % {SUPPLIERS}",
    ("images", "batch_id"): "c.batch_id",
    ("images", "priority"): "c.priority",
    ("tasks", "priority"): "c.priority",
    # No two look alike.
    ("fingerprints", "pixels_sha256"): "sha256(int8send(c.image_id))",
    ("fingerprints", "phash"): "hashint8extended(c.image_id, 0)",
    **{
        ("fingerprints", f"band{number}"): (
            f"((hashint8extended(c.image_id, 0) >> {48 - 16 * number} & 65535) - 32768)::smallint"
        )
        for number in range(4)
    },
}
# Their rows are there for all images.
_SHARED = (None, "images", "taxonomies", "suppliers", "batches", "contracts")


@dataclass(frozen=True, slots=True)
class Lot:
    """So many copies of one take. `pins`: worker of the pattern → the one who plays them in every copy."""

    take: Take
    count: int
    pins: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    target: str | None


def mark_patterns(connection: psycopg.Connection[Any], lots: Sequence[Lot]) -> None:
    """Say of each row of the patterns what has to be exchanged in its copies."""
    connection.execute(f"""
        DROP TABLE IF EXISTS {PATTERNS}.crew, {PATTERNS}.lots, {PATTERNS}.pins;
        CREATE TABLE {PATTERNS}.crew AS
            SELECT id, min(id) OVER g AS first, id - min(id) OVER g AS slot, count(*) OVER g AS size
            FROM workers WINDOW g AS (PARTITION BY grade);
        CREATE TABLE {PATTERNS}.pins (take int, worker bigint, pinned bigint);
        CREATE TABLE {PATTERNS}.lots (
            take int, copies bigint, low float8, high float8, in_turn bool, ends interval
        )
    """)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {PATTERNS}.lots VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (lot.take.number, lot.count, *fate.between, fate.in_turn, OVER if fate.expired else LIVE)
                for lot in lots
                for fate in (lot.take.fate,)
            ],
        )
        pins = [(lot.take.number, *pin) for lot in lots for pin in lot.pins.items()]
        cursor.executemany(f"INSERT INTO {PATTERNS}.pins VALUES (%s, %s, %s)", pins)
    for table in tables(connection):
        _mark(connection, table)


def place_copies(connection: psycopg.Connection[Any], seed: int, *, ahead_in_batch: int | None = None) -> int:
    """Number the images to come, with where their rows begin in each table; how many images.

    `ahead_in_batch`: they are of this batch and come before everything else.
    """
    counted = [name for name in tables(connection) if name != "images" and _has_id(connection, name)]
    begins = sql.SQL(", ").join(
        sql.SQL("(SELECT coalesce(max(id), 0) FROM {}) + sum(n.{}) OVER w - n.{} AS {}").format(
            *map(sql.Identifier, (name, name, name, f"{name}_from"))
        )
        for name in counted
    )
    numbers = sql.SQL(", ").join(
        sql.SQL("(SELECT count(*) FROM {} p WHERE p.take = l.take) AS {}").format(
            sql.Identifier(PATTERNS, name), sql.Identifier(name)
        )
        for name in counted
    )
    batch = f"1 + image_id % {BATCHES}" if ahead_in_batch is None else str(int(ahead_in_batch))
    priority = f"(image_id % {BATCHES} = 1)::int" if ahead_in_batch is None else "-1"
    connection.execute(f"DROP TABLE IF EXISTS {PATTERNS}.copies")
    text = sql.SQL(f"""
        CREATE UNLOGGED TABLE {PATTERNS}.copies AS
        WITH placed AS (
            SELECT take, in_turn, copy,
                row_number() OVER (ORDER BY low + (high - low) * (copy - 0.5) / copies, take)
                    + (SELECT coalesce(max(id), 0) FROM images) AS image_id
            FROM {PATTERNS}.lots, generate_series(1, copies) AS copy
        ), n AS MATERIALIZED (SELECT l.take, {{}} FROM {PATTERNS}.lots l)
        SELECT placed.image_id, take,
            CASE WHEN in_turn THEN copy - 1
                 ELSE hashint8extended(image_id, {int(seed)}) & 1048575 END AS spread,
            now() - interval '{DAYS} days' + image_id * interval '{DAYS - 2} days' / (
                SELECT sum(copies) + coalesce((SELECT max(id) FROM images), 0) FROM {PATTERNS}.lots
            )::float8 AS starts,
            {batch} AS batch_id, {priority} AS priority, {{}}
        FROM placed JOIN n USING (take)
        WINDOW w AS (ORDER BY image_id ROWS UNBOUNDED PRECEDING)
    """)
    connection.execute(text.format(numbers, begins))
    connection.execute(f"ANALYZE {PATTERNS}.copies")
    found = connection.execute(f"SELECT count(*) FROM {PATTERNS}.copies").fetchone()
    assert found is not None
    return int(found[0])


def copy_all(address: str, say: Callable[[str], None], *, bulk: bool) -> None:
    """Write every table's copies. `bulk`: without its indexes, which are made anew afterwards."""
    with psycopg.connect(address, autocommit=True) as connection:
        weights = {table: _rows_to_come(connection, table) for table in tables(connection)}
    largest_first = sorted(weights, key=lambda table: -weights[table])
    with ThreadPoolExecutor(LOADERS) as pool:
        for table in pool.map(lambda table: _copy(address, table, bulk=bulk), largest_first):
            say(f"{table}: {weights[table]:,} rows")


def _copy(address: str, table: str, *, bulk: bool) -> str:
    name = sql.Identifier(table)
    with psycopg.connect(address, autocommit=True) as connection:
        # No triggers, and no look at the other table for each reference: the patterns were checked by both.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET enable_mergejoin = off; SET enable_nestloop = off")
        indexes = _drop_indexes(connection, table) if bulk else []
        columns = _columns(connection, table)
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} c JOIN {} p USING (take)").format(
                name,
                sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
                sql.SQL(", ").join(_copied(table, column) for column in columns),
                sql.Identifier(PATTERNS, "copies"),
                sql.Identifier(PATTERNS, f"{table}_marked"),
            )
        )
        for definition in indexes:
            connection.execute(definition)
        if _has_id(connection, table):
            connection.execute(
                sql.SQL(
                    "SELECT setval(pg_get_serial_sequence({}, 'id'), coalesce(max(id), 0) + 1, false) FROM {}"
                ).format(sql.Literal(table), name)
            )
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(name))
    return table


def _mark(connection: psycopg.Connection[Any], table: str) -> None:
    """The pattern's rows with, beside each column to exchange, what its copies are made from."""
    extras: list[sql.Composable] = []
    joins: list[sql.Composable] = []
    for column in _columns(connection, table):
        name = sql.Identifier(column.name)
        if column.name == "id":
            extras.append(sql.SQL("row_number() OVER (PARTITION BY p.take ORDER BY p.id) AS nth"))
        elif column.name == "task_id":
            extras.append(
                sql.SQL(
                    "(SELECT count(*) FROM {} t WHERE t.take = p.take AND t.id <= p.task_id)"
                    " * CASE WHEN p.task_id IS NULL THEN NULL ELSE 1 END AS task_nth"
                ).format(sql.Identifier(PATTERNS, "tasks"))
            )
        elif column.target == "workers":
            crew, pin = sql.Identifier(f"{column.name}_crew"), sql.Identifier(f"{column.name}_pin")
            joins.append(
                sql.SQL(
                    " LEFT JOIN {}.crew {crew} ON {crew}.id = p.{name}"
                    " LEFT JOIN {}.pins {pin} ON {pin}.take = p.take AND {pin}.worker = p.{name}"
                ).format(sql.Identifier(PATTERNS), sql.Identifier(PATTERNS), crew=crew, pin=pin, name=name)
            )
            extras.append(
                sql.SQL(
                    "coalesce({pin}.pinned, {crew}.first) AS {first},"
                    " CASE WHEN {pin}.pinned IS NULL THEN {crew}.slot ELSE 0 END AS {slot},"
                    " CASE WHEN {pin}.pinned IS NULL THEN {crew}.size ELSE 1 END AS {size}"
                ).format(crew=crew, pin=pin, **_names(column.name))
            )
        elif column.type == "timestamptz" and column.name not in LIMITS:
            extras.append(
                sql.SQL("(p.{} - b.began) * {} AS {}").format(
                    name, sql.Literal(STRETCH), sql.Identifier(f"{column.name}_after")
                )
            )
        elif column.target not in _SHARED:
            # A reference that nobody knows how to copy: no pattern may hold one.
            no = sql.Identifier(f"{column.name}_no")
            extras.append(sql.SQL("1 / (p.{} IS NULL)::int AS {}").format(name, no))
    marked = sql.Identifier(PATTERNS, f"{table}_marked")
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(marked))
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} AS SELECT p.*, l.ends{} FROM {} p JOIN {p}.lots l USING (take)"
            " JOIN {p}.takes b USING (take){}"
        ).format(
            marked,
            sql.SQL("").join(sql.SQL(", ") + extra for extra in extras),
            sql.Identifier(PATTERNS, table),
            sql.SQL("").join(joins),
            p=sql.Identifier(PATTERNS),
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(marked))


def _copied(table: str, column: _Column) -> sql.Composable:
    """The expression that a column's copies are made with."""
    name = sql.Identifier(column.name)
    if (table, column.name) in _OVERRIDES:
        return sql.SQL(_OVERRIDES[table, column.name])
    if column.name == "image_id" or (table, column.name) == ("images", "id"):
        return sql.SQL("c.image_id")
    if column.name == "id":
        return sql.SQL("c.{} + p.nth").format(sql.Identifier(f"{table}_from"))
    if column.name == "task_id":
        return sql.SQL("c.tasks_from + p.task_nth")
    if column.target == "workers":
        return sql.SQL("p.{first} + (c.spread + p.{slot}) % p.{size}").format(**_names(column.name))
    if column.name in LIMITS:
        return sql.SQL("CASE WHEN p.{} IS NOT NULL THEN now() + p.ends END").format(name)
    if column.type == "timestamptz":
        return sql.SQL("c.starts + p.{}").format(sql.Identifier(f"{column.name}_after"))
    return sql.SQL("p.{}").format(name)


def _names(column: str) -> dict[str, sql.Identifier]:
    return {part: sql.Identifier(f"{column}_{part}") for part in ("first", "slot", "size")}


def _columns(connection: psycopg.Connection[Any], table: str) -> list[_Column]:
    query = """
        SELECT a.attname, t.typname, f.confrelid::regclass::text
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_constraint f
            ON f.conrelid = a.attrelid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ORDER BY a.attnum
    """
    return [_Column(*row) for row in connection.execute(query, [table])]


def _has_id(connection: psycopg.Connection[Any], table: str) -> bool:
    return any(column.name == "id" for column in _columns(connection, table))


def _rows_to_come(connection: psycopg.Connection[Any], table: str) -> int:
    query = sql.SQL("SELECT coalesce(sum(l.copies), 0) FROM {} p JOIN {}.lots l USING (take)").format(
        sql.Identifier(PATTERNS, table), sql.Identifier(PATTERNS)
    )
    found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def _drop_indexes(connection: psycopg.Connection[Any], table: str) -> list[sql.SQL]:
    """Drop the indexes that no constraint needs; the statements that make them again."""
    query = """
        SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
        FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
        WHERE i.indrelid = %s::regclass AND c.oid IS NULL
    """
    found = connection.execute(query, [table]).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [sql.SQL(definition) for _, definition in found]
