"""What PostgreSQL does for each statement of a real claim: its plan, the pages it reads, the time it takes.

The claim runs in a transaction that is rolled back. Before each of its statements the very same one is
explained inside a savepoint, so that the plan is that of the rows the claim really meets.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import Connection, Engine

from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.policy import Policy, Stage
from crowd.tasks import leases
from crowd.tasks.assignments import Roster
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.marks import MarkBook

T = TypeVar("T")

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")
_SAVEPOINT, _PREPARED = "before_explained", "explained"
# A table of a page or two is read as a whole by any planner, and rightly.
SMALL_TABLE_ROWS = 200
# Those begin at the root of a B-tree each time they run.
DESCENTS = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a plan. `rows`, `removed` (by filters), `fed` (by nodes below) are of all `loops`."""

    type: str
    relation: str | None
    index: str | None
    loops: int
    rows: float
    removed: float
    fed: float

    def __str__(self) -> str:
        where = " of ".join(filter(None, (self.index, self.relation)))
        return f"{self.type} {where}".strip()


@dataclass(frozen=True, slots=True)
class Plan:
    """How one statement ran. Times in ms; `hit` and `read` are shared pages of 8 KiB."""

    text: str
    execution: float
    planning: float
    hit: int
    read: int
    nodes: tuple[Node, ...]

    @property
    def buffers(self) -> int:
        """The pages looked at, in memory before or not."""
        return self.hit + self.read

    @property
    def removed(self) -> float:
        """Rows that were read and then filtered out."""
        return sum(node.removed for node in self.nodes)

    @property
    def descents(self) -> int:
        """How many times an index was entered from its root."""
        return sum(node.loops for node in self.nodes if node.type in DESCENTS)

    def nodes_of(self, *types: str) -> list[Node]:
        """The nodes of these types that ran."""
        return [node for node in self.nodes if node.type in types and node.loops]

    @property
    def flaws(self) -> list[str]:
        """What no statement of a claim may do: read a whole table, or sort."""
        return self.flaws_beyond(sorted_rows=0)

    def flaws_beyond(self, sorted_rows: int) -> list[str]:
        """The same where so many rows may be sorted: what one image has, at most."""
        scans = [
            f"{node} reads {node.rows + node.removed:.0f} rows"
            for node in self.nodes_of("Seq Scan")
            if node.rows + node.removed > SMALL_TABLE_ROWS
        ]
        sorts = [
            f"{node} of {node.fed:.0f} rows"
            for node in self.nodes_of("Sort", "Incremental Sort")
            if sorted_rows == 0 or node.fed > sorted_rows
        ]
        return scans + sorts

    @property
    def name(self) -> str:
        """The statement in a few words: what it does to which table, and by what it was found."""
        words = re.sub(r"\s+", " ", self.text)
        target = re.search(r"\b(?:FROM|UPDATE|INTO) (\w+)", words.replace("FROM (", ""))
        found = dict.fromkeys(node.index for node in self.nodes if node.index and node.loops)
        return f"{words.split()[0]} {target[1] if target else ''} ({', '.join(found)})"


@dataclass(frozen=True, slots=True)
class Bill:
    """What something cost altogether: the plans of its statements, in their order."""

    plans: tuple[Plan, ...]

    @property
    def buffers(self) -> int:
        """The pages of all statements."""
        return sum(plan.buffers for plan in self.plans)

    @property
    def execution(self) -> float:
        """The execution of all statements, in ms; without planning."""
        return sum(plan.execution for plan in self.plans)

    @property
    def planning(self) -> float:
        """The planning of all statements, in ms."""
        return sum(plan.planning for plan in self.plans)

    @property
    def descents(self) -> int:
        """How many times indexes were entered from their roots."""
        return sum(plan.descents for plan in self.plans)

    @property
    def flaws(self) -> list[str]:
        """The flaws of all statements, each with the statement."""
        return [f"{plan.name}: {flaw}" for plan in self.plans for flaw in plan.flaws]


def explain_claim(
    db: Database,
    claimant: Claimant,
    policy: Policy,
    book: MarkBook,
    only: Stage | None = None,
    *,
    generic: bool = False,
    leaning: str = "",
    roster: Roster | None = None,
) -> tuple[AnyRow | QueueState, Bill]:
    """What a claim comes to, and its bill; nothing of it stays, but for the marks in `book`.

    `generic`: with plans made without knowing the parameters, as a server may choose for prepared ones.
    `leaning`: the name of a way to run statements that the planner is talked out of, such as `enable_sort`.
    """
    return explain(
        db,
        lambda conn: leases.claim(conn, claimant, policy, clock.now(), only, book=book, roster=roster),
        generic=generic,
        leaning=leaning,
    )


def explain_batch(
    db: Database,
    claimant: Claimant,
    policy: Policy,
    book: MarkBook,
    limit: int,
    *,
    generic: bool = False,
    leaning: str = "",
) -> tuple[Sequence[AnyRow], Bill]:
    """The same of a claim for the grid."""
    return explain(
        db,
        lambda conn: leases.claim_batch(conn, claimant, policy, clock.now(), limit, book=book),
        generic=generic,
        leaning=leaning,
    )


def explain(
    db: Database, do: Callable[[Connection], T], *, generic: bool = False, leaning: str = ""
) -> tuple[T, Bill]:
    """What `do` returns, and the bill of its statements; what it changed is rolled back."""
    with db.engine.connect() as conn, conn.begin() as transaction:
        if leaning:
            conn.exec_driver_sql(f"SET LOCAL {leaning} = off")
        if generic:
            conn.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        with watching(conn, generic=generic) as plans:
            outcome = do(conn)
        transaction.rollback()
    return outcome, Bill(tuple(plans))


@contextmanager
def watching(place: Connection | Engine, *, generic: bool = False) -> Iterator[list[Plan]]:
    """The plans of all statements that the connection, or any of the engine's, runs in the block."""
    plans: list[Plan] = []

    def before(_conn: Connection, cursor: Any, text: str, values: Any, _context: object, many: bool) -> None:
        if many:
            raise NotImplementedError("a claim has no statement of many rows")
        plans.append(_explained(cursor.connection, text, values or {}, generic=generic))

    sa.event.listen(place, "before_cursor_execute", before)
    try:
        yield plans
    finally:
        sa.event.remove(place, "before_cursor_execute", before)


def _explained(
    connection: psycopg.Connection[Any], text: str, values: Mapping[str, Any], *, generic: bool
) -> Plan:
    with nullcontext() if connection.autocommit else _taken_back(connection):
        if generic:
            found = _explain_prepared(connection, text, values)
        else:
            found = connection.execute(_EXPLAIN + text, values, prepare=False).fetchone()
    assert found is not None
    (document,) = found[0]
    top = document["Plan"]
    return Plan(
        text=text,
        execution=document["Execution Time"],
        planning=document["Planning Time"],
        hit=top["Shared Hit Blocks"],
        read=top["Shared Read Blocks"],
        nodes=tuple(_nodes(top)),
    )


@contextmanager
def _taken_back(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """What the block does is undone. Outside a transaction, where all only read, that cannot be."""
    connection.execute(f"SAVEPOINT {_SAVEPOINT}")
    try:
        yield
    finally:
        connection.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}")


def _explain_prepared(connection: psycopg.Connection[Any], text: str, values: Mapping[str, Any]) -> Any:
    numbered, names = _numbered(text)
    connection.execute(f"PREPARE {_PREPARED} AS {numbered}")
    arguments = sql.SQL(", ").join(sql.Literal(values[name]) for name in names)
    call = sql.SQL("{} ({})" if names else "{}").format(sql.Identifier(_PREPARED), arguments)
    try:
        return connection.execute(sql.SQL("{}EXECUTE {}").format(sql.SQL(_EXPLAIN), call)).fetchone()
    finally:
        connection.execute(f"DEALLOCATE {_PREPARED}")


def _numbered(text: str) -> tuple[str, list[str]]:
    """The text with $1, $2 … in the places of %(name)s, and the names in that order."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACEHOLDER.sub(number, text), names


def _nodes(node: Mapping[str, Any]) -> Iterator[Node]:
    loops = node["Actual Loops"]
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    yield Node(
        type=node["Node Type"],
        relation=node.get("Relation Name"),
        index=node.get("Index Name"),
        loops=int(loops),
        rows=node["Actual Rows"] * loops,
        removed=removed * loops,
        fed=sum(child["Actual Rows"] * child["Actual Loops"] for child in node.get("Plans", ())),
    )
    for child in node.get("Plans", ()):
        yield from _nodes(child)
