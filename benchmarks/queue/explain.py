"""What a claim costs inside PostgreSQL, and how that grows with the number of tasks: plans, pages, time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.queue import people
from benchmarks.queue.build import Built, add_variant, pinned_person
from benchmarks.queue.fates import HALF_REVIEWED, OWN_HEAD, Fate
from benchmarks.queue.figures import Figure, middle, size_name
from benchmarks.queue.plans import Bill, explain_batch, explain_claim
from crowd.core import clock
from crowd.core.db import Database
from crowd.policy import Grade, Policy, Stage, load_policy
from crowd.tasks import leases
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.marks import MarkBook

PART = "explain"
FLAT = 1.2
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
class Cost:
    """What a case cost at one size. Pages and ms are medians; `bill` is the dearest claim that was warm.

    `cold` are the first claims of a person, whose marks are still to be found.
    """

    pages: float
    ms: float
    cold_pages: float
    cold_ms: float
    generic_pages: float
    generic_ms: float
    descents: float
    found: int
    flaws: tuple[str, ...]
    bill: Bill


Costs = Mapping[str, Cost]


def measure(database: Built, say: Say, cases: Sequence[Case] = CASES) -> dict[str, Cost]:
    """Every case on one database; those with a variant last, since they add to it."""
    db = Database(database.url)
    try:
        _settle(db, database)
        costs: dict[str, Cost] = {}
        for case in sorted(cases, key=lambda case: case.variant is not None):
            if case.variant is not None and case.variant.name not in database.variants:
                add_variant(database, case.variant)
            costs[case.name] = cost = _cost(db, database, case)
            say(f"{size_name(database.tasks)} {case.name}: {_summary(cost)}")
        return costs
    finally:
        db.close()


def compare(by_size: Mapping[int, Costs]) -> list[Figure]:
    """The figures of all sizes: pages at the largest against the million, and that against the smallest."""
    figures: list[Figure] = []
    sizes = sorted(by_size)
    for name in by_size[sizes[-1]]:
        for small, large in pairwise(sizes):
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
                Figure(PART, f"{name} at {size_name(size)}", "pages", cost.pages)
                for name, cost in costs.items()
            ]
    return figures


def _between(name: str, small: int, large: int, before: Cost, after: Cost) -> list[Figure]:
    sizes = f"{size_name(large)}/{size_name(small)}"
    # From thousands to a million a B-tree grows by a level: one page more each time it is entered.
    grown = after.descents if small < 1_000_000 <= large else 0.0
    figures = []
    for kind, ours, base in (
        ("warm", after.pages, before.pages),
        ("first claim", after.cold_pages, before.cold_pages),
        ("generic plan", after.generic_pages, before.generic_pages),
    ):
        most = max(FLAT, (base + grown) / base) if base else None
        figures.append(Figure(PART, f"{name}, {kind}, {sizes}", "pages", ours, base, most=most))
    figures.append(Figure(PART, f"{name}, warm, {sizes}", "ms", after.ms, before.ms))
    return figures


def _cost(db: Database, database: Built, case: Case) -> Cost:
    policy = load_policy()
    warm, cold, generic, first_times, times, generic_times = [], [], [], [], [], []
    flaws: list[str] = []
    descents: list[float] = []
    dearest = Bill(())
    asked = _people(database, case)
    found = 0
    for member in asked:
        claimant = Claimant(member.id, database.taxonomy_id)
        book = MarkBook()
        has_found, bill = _ask(db, claimant, policy, book, case)
        found += has_found
        cold.append(float(bill.buffers))
        first_times.append(bill.execution)
        for number in range(WARM_UP + CLAIMS):
            _, bill = _ask(db, claimant, policy, book, case)
            if number < WARM_UP:
                continue
            warm.append(float(bill.buffers))
            times.append(bill.execution)
            descents.append(float(bill.descents + _written_indexes(bill)))
            flaws += bill.flaws
            dearest = max(dearest, bill, key=lambda each: each.buffers)
        for _ in range(CLAIMS):
            _, bill = _ask(db, claimant, policy, book, case, generic=True)
            generic.append(float(bill.buffers))
            generic_times.append(bill.execution)
            flaws += [f"generic plan: {flaw}" for flaw in bill.flaws]
    return Cost(
        pages=middle(warm),
        ms=middle(times),
        cold_pages=middle(cold),
        cold_ms=middle(first_times),
        generic_pages=middle(generic),
        generic_ms=middle(generic_times),
        descents=middle(descents),
        found=found,
        flaws=tuple(dict.fromkeys(flaws)),
        bill=dearest,
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


# A changed row of a table is written into about so many of its indexes, each entered from its root.
_INDEXES_WRITTEN = {"UPDATE": 5, "INSERT": 2}


def _written_indexes(bill: Bill) -> int:
    return sum(_INDEXES_WRITTEN.get(plan.text.split()[0], 0) for plan in bill.plans)


def _settle(db: Database, database: Built) -> None:
    """Take back what has run out and clean up after earlier runs, as upkeep and autovacuum would."""
    with db.begin() as conn:
        while leases.tidy(conn, load_policy(), clock.now()):
            pass
    with psycopg.connect(database.server.address, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) tasks, claims, misses")


def _summary(cost: Cost) -> str:
    words = (
        f"{cost.pages:.0f} pages {cost.ms:.2f} ms; "
        f"first claim {cost.cold_pages:.0f} pages {cost.cold_ms:.2f} ms; "
        f"generic plan {cost.generic_pages:.0f} pages {cost.generic_ms:.2f} ms"
    )
    return "; ".join([words, *cost.flaws, *([] if cost.found else ["NOTHING FOUND"])])


def detail(cost: Cost) -> list[dict[str, Any]]:
    """The dearest warm claim, statement by statement."""
    return [
        {"statement": plan.name, "pages": plan.buffers, "ms": plan.execution, "removed": plan.removed}
        for plan in cost.bill.plans
    ]
