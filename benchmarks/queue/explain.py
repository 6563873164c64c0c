"""What a claim costs inside PostgreSQL, and how that grows with the number of tasks: plans, pages, time.

How often a claim enters indexes from their roots ("descents") is counted in its plans: each run of an index
scan is one, and each row that an UPDATE or INSERT writes is one for each index that it is entered into.
Which those are PostgreSQL is asked: all without a condition, and of the others those whose condition a
claimed task (or the newest claim) meets. What triggers and foreign keys read is neither in the pages nor in
the descents: EXPLAIN counts it with no node; it is in the times.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks.queue import people
from benchmarks.queue.build import Built, add_variant, pinned_person
from benchmarks.queue.fates import HALF_REVIEWED, OWN_HEAD, Fate
from benchmarks.queue.figures import Figure, Pages, compared_sizes, grown, middle, size_name
from benchmarks.queue.plans import Bill, Plan, explain_batch, explain_claim
from crowd.core import clock
from crowd.core.db import Database
from crowd.policy import Grade, Policy, Stage, load_policy
from crowd.tasks import claim_queries, leases
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.marks import MarkBook
from crowd.tasks.models import Claim, QueueMark, Task, TaskState

PART = "explain"
PEOPLE, WARM_UP, CLAIMS = 3, 3, 3
GRID = 20
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A way of asking for work. `variant`: on a queue with this fate ahead, by the person it pins."""

    name: str
    grade: Grade
    only: Stage | None = None
    grid: bool = False
    variant: Fate | None = None


CASES: tuple[Case, ...] = (
    *(Case(f"{grade}", grade) for grade in people.CREW if grade is not Grade.ADMIN),
    Case("general, segmentation alone", Grade.GENERAL, Stage.SEGMENTATION),
    Case("inspector, second review alone", Grade.INSPECTOR, Stage.SECOND_REVIEW),
    Case(f"inspector, a grid of {GRID}", Grade.INSPECTOR, Stage.SECOND_REVIEW, grid=True),
    Case("own work at the head", Grade.REVIEWER, Stage.FIRST_REVIEW, variant=OWN_HEAD),
    Case("other seats at the head", Grade.INSPECTOR, Stage.SECOND_REVIEW, variant=HALF_REVIEWED),
    Case(
        "other seats at the head, a grid",
        Grade.INSPECTOR,
        Stage.SECOND_REVIEW,
        grid=True,
        variant=HALF_REVIEWED,
    ),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of claims cost: medians of their pages, descents and milliseconds."""

    pages: Pages
    ms: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a case cost at one size; `bill` is the dearest claim that was warm.

    `cold` are the first claims of a person, whose marks are still to be found; `fresh` those in a process
    that finds the marks that another one kept.
    """

    warm: Kind
    cold: Kind
    fresh: Kind
    generic: Kind
    found: int
    flaws: tuple[str, ...]
    bill: Bill


Costs = Mapping[str, Cost]


def measure(database: Built, say: Say, cases: Sequence[Case] = CASES) -> dict[str, Cost]:
    """Every case on one database; those with a variant last, since they add to it."""
    db = Database(database.url)
    try:
        _settle(db, database)
        written = indexes_written(db)
        costs: dict[str, Cost] = {}
        for case in sorted(cases, key=lambda case: case.variant is not None):
            if case.variant is not None and case.variant.name not in database.variants:
                add_variant(database, case.variant)
            costs[case.name] = cost = _cost(db, database, case, written)
            say(f"{size_name(database.tasks)} {case.name}: {_summary(cost)}")
        return costs
    finally:
        db.close()


def compare(by_size: Mapping[int, Costs]) -> list[Figure]:
    """Pages at each size against the one before it, and at the largest against the smallest."""
    figures: list[Figure] = []
    sizes = sorted(by_size)
    for name in by_size[sizes[-1]]:
        for small, large in compared_sizes(sizes):
            figures += _between(name, small, large, by_size[small][name], by_size[large][name])
    for size in sizes:
        costs = by_size[size]
        flaws = float(sum(len(cost.flaws) for cost in costs.values()))
        figures.append(
            Figure(PART, f"whole tables read, sorts at {size_name(size)}", "plans", flaws, bound=0)
        )
        nothing = float(sum(cost.found == 0 for cost in costs.values()))
        figures.append(
            Figure(PART, f"cases that found no task at {size_name(size)}", "cases", nothing, bound=0)
        )
        if len(sizes) == 1:
            figures += [
                Figure(PART, f"{name} at {size_name(size)}", "pages", cost.warm.pages.count)
                for name, cost in costs.items()
            ]
    return figures


def _between(name: str, small: int, large: int, before: Cost, after: Cost) -> list[Figure]:
    kinds = (
        ("warm", after.warm, before.warm),
        ("new process", after.fresh, before.fresh),
        ("generic plan", after.generic, before.generic),
    )
    sizes = f"{size_name(large)}/{size_name(small)}"
    return [
        *(grown(PART, f"{name}, {kind}", small, large, ours.pages, base.pages) for kind, ours, base in kinds),
        Figure(PART, f"{name}, warm, {sizes}", "ms", after.warm.ms, before.warm.ms),
        # Paid once by somebody new to a stage, and once an hour.
        Figure(
            PART, f"{name}, from the head, {sizes}", "pages", after.cold.pages.count, before.cold.pages.count
        ),
    ]


def _cost(db: Database, database: Built, case: Case, written: Mapping[str, int]) -> Cost:
    policy = load_policy()
    warm: list[Bill] = []
    cold: list[Bill] = []
    generic: list[Bill] = []
    fresh: list[Bill] = []
    found = 0
    for member in _people(database, case):
        claimant = Claimant(member.id, database.taxonomy_id)
        book = MarkBook()
        _forget(db, member.id)
        has_found, bill = _ask(db, claimant, policy, book, case)
        found += has_found
        cold.append(bill)
        warm += [_ask(db, claimant, policy, book, case)[1] for _ in range(WARM_UP + CLAIMS)][WARM_UP:]
        _keep(db, member.id, book)
        fresh += [_ask(db, claimant, policy, MarkBook(), case)[1] for _ in range(WARM_UP + 1)][WARM_UP:]
        generic += [_ask(db, claimant, policy, book, case, generic=True)[1] for _ in range(CLAIMS)]
    flaws = [flaw for bill in (*warm, *cold, *fresh) for flaw in bill.flaws]
    flaws += [f"generic plan: {flaw}" for bill in generic for flaw in bill.flaws]
    return Cost(
        warm=_kind(warm, written),
        cold=_kind(cold, written),
        fresh=_kind(fresh, written),
        generic=_kind(generic, written),
        found=found,
        flaws=tuple(dict.fromkeys(flaws)),
        bill=max(warm, key=lambda bill: bill.buffers),
    )


def _keep(db: Database, worker_id: int, book: MarkBook) -> None:
    """Leave the person's marks for other processes, as a claim that is not rolled back does."""
    with db.begin() as conn:
        for stage in Stage:
            if marks := book.of(worker_id, stage).by_priority:
                claim_queries.keep_marks(conn, worker_id, stage, marks, clock.now())


def _forget(db: Database, worker_id: int) -> None:
    with db.begin() as conn:
        conn.execute(sa.delete(QueueMark).where(QueueMark.worker_id == worker_id))


def _kind(bills: Sequence[Bill], written: Mapping[str, int]) -> Kind:
    return Kind(
        Pages(
            count=middle(float(bill.buffers) for bill in bills),
            descents=middle(float(descents(bill, written)) for bill in bills),
        ),
        ms=middle(bill.execution for bill in bills),
    )


def _ask(
    db: Database, claimant: Claimant, policy: Policy, book: MarkBook, case: Case, *, generic: bool = False
) -> tuple[bool, Bill]:
    if case.grid:
        rows, bill = explain_batch(db, claimant, policy, book, GRID, generic=generic)
        return bool(rows), bill
    outcome, bill = explain_claim(db, claimant, policy, book, case.only, generic=generic)
    return not isinstance(outcome, QueueState), bill


def _people(database: Built, case: Case) -> list[people.Member]:
    if case.variant is not None:
        return [pinned_person(database.seed, case.variant)]
    return people.of_grade(database.seed, case.grade)[:PEOPLE]


def descents(bill: Bill, written: Mapping[str, int]) -> int:
    """How often indexes were entered from their roots, to read and to write; `written`: indexes_written."""
    return bill.descents + sum(_entries(plan, written) for plan in bill.plans)


def _entries(plan: Plan, written: Mapping[str, int]) -> int:
    # What a ModifyTable writes are the rows of the node below it, which comes next.
    return sum(
        written.get(node.relation or "", 0) * round(below.rows)
        for node, below in pairwise(plan.nodes)
        if node.type == "ModifyTable"
    )


# A row such as a claim writes, in each table that it writes to.
_WRITTEN_ROWS: Mapping[str, sa.Select[int]] = {
    "tasks": sa.select(Task.id).where(Task.state == TaskState.LEASED).limit(1),
    "claims": sa.select(Claim.task_id).order_by(Claim.task_id.desc()).limit(1),
}
_INDEXES = """
    SELECT coalesce(pg_get_expr(indpred, indrelid), 'true') FROM pg_index WHERE indrelid = %(table)s::regclass
"""


def indexes_written(db: Database) -> dict[str, int]:
    """Into how many indexes of each table a claim enters a row that it writes."""
    found: dict[str, int] = {}
    with db.read() as conn:
        for table, sample in _WRITTEN_ROWS.items():
            conditions = conn.exec_driver_sql(_INDEXES, {"table": table}).scalars().all()
            is_met = [sa.cast(sa.literal_column(f"({condition})"), sa.Integer) for condition in conditions]
            total = reduce(operator.add, is_met)
            found[table] = (
                conn.execute(sample.with_only_columns(total, maintain_column_froms=True)).scalar_one_or_none()
                or 0
            )
    return found


def _settle(db: Database, database: Built) -> None:
    """Take back what has run out and clean up after earlier runs, as upkeep and autovacuum would."""
    with db.begin() as conn:
        while leases.tidy(conn, load_policy(), clock.now()):
            pass
    with psycopg.connect(database.server.address, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) tasks, claims, misses")


def _summary(cost: Cost) -> str:
    words = (
        f"{_said(cost.warm)}, {cost.warm.pages.descents:.0f} descents; "
        f"new process {_said(cost.fresh)}; from the head {_said(cost.cold)}; "
        f"generic plan {_said(cost.generic)}"
    )
    return "; ".join([words, *cost.flaws, *([] if cost.found else ["NOTHING FOUND"])])


def _said(kind: Kind) -> str:
    return f"{kind.pages.count:.0f} pages {kind.ms:.2f} ms"


def detail(cost: Cost) -> list[dict[str, Any]]:
    """The dearest warm claim, statement by statement."""
    return [
        {"statement": plan.name, "pages": plan.buffers, "ms": plan.execution, "removed": plan.removed}
        for plan in cost.bill.plans
    ]
