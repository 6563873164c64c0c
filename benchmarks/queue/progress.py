"""What `GET /stats/progress` costs inside PostgreSQL, and that it stays the same with more tasks."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import psycopg
from sqlalchemy.engine import Connection

from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import TALL, Figure, Pages, compared_sizes, grown, middle, size_name
from benchmarks.queue.plans import Bill, explain
from crowd.core import clock
from crowd.core.db import Database
from crowd.policy import load_policy
from crowd.tasks import counts, progress

PART = "progress"
WARM_UP, ROUNDS = 1, 5
# People and kept figures do not become more with the tasks, and may be read as a whole.
MAY_BE_READ = frozenset({"workers", "counts", "count_deltas"})


@dataclass(frozen=True, slots=True)
class Cost:
    """What a look costs at one size: medians of all its statements together.

    `waiting`: tasks told of; `dearest`: the milliseconds of the dearest statement; `read`: the tables that
    grow with the tasks and were read as a whole.
    """

    pages: Pages
    ms: float
    statements: int
    waiting: int
    dearest: float
    read: frozenset[str]


def measure(database: Built, say: Say) -> Cost:
    """Look at the progress a few times, as the page does."""
    policy = load_policy()

    def look(conn: Connection) -> int:
        stages = progress.progress(conn, policy, clock.now())
        progress.images_by_state(conn)
        return sum(stage.ready for stage in stages.values())

    with closing(Database(database.url)) as db:
        _settle(db, database)
        looks = [explain(db, look) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    cost = _cost([bill for _, bill in looks], looks[-1][0])
    whole = ", ".join(sorted(cost.read)) or "none that grows"
    say(
        f"{size_name(database.tasks)} progress: {cost.pages.count:.0f} pages {cost.ms:.2f} ms in "
        f"{cost.statements} statements, {cost.pages.descents:.0f} descents; "
        f"the dearest {cost.dearest:.2f} ms; {cost.waiting:,} tasks wait; read as a whole: {whole}"
    )
    return cost


def compare(by_size: Mapping[int, Cost]) -> list[Figure]:
    """Each size against the one before it, the largest against the smallest; pages by the rule of claims."""
    sizes = sorted(by_size)
    figures = []
    for small, large in compared_sizes(sizes):
        ours, base = by_size[large], by_size[small]
        name = f"{size_name(large)}/{size_name(small)}"
        figures.append(grown(PART, "all statements", small, large, ours.pages, base.pages))
        figures.append(Figure(PART, f"all statements, {name}", "ms", ours.ms, base.ms))
    for size in sizes:
        name, cost = size_name(size), by_size[size]
        figures.append(Figure(PART, f"tasks that wait at {name}", "tasks", float(cost.waiting)))
        figures.append(Figure(PART, f"dearest statement at {name}", "ms", cost.dearest))
        # A small table is rightly read as a whole.
        bound = 0 if size >= TALL else None
        whole = float(len(cost.read))
        figures.append(
            Figure(PART, f"tables of the work read as a whole at {name}", "tables", whole, bound=bound)
        )
        if len(sizes) == 1:
            figures.append(Figure(PART, f"all statements at {name}", "pages", cost.pages.count))
            figures.append(Figure(PART, f"all statements at {name}", "ms", cost.ms))
    return figures


def _settle(db: Database, database: Built) -> None:
    """Fold what earlier parts left, as upkeep does every few seconds, and clean up as autovacuum would."""
    counts.fold(db)
    with psycopg.connect(database.server.address, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) tasks, count_deltas, counts")


def _cost(bills: list[Bill], waiting: int) -> Cost:
    pages = Pages(
        count=middle(float(bill.buffers) for bill in bills),
        descents=middle(float(bill.descents) for bill in bills),
    )
    plans = [plan for bill in bills for plan in bill.plans]
    whole = (node for plan in plans for node in plan.nodes_of("Seq Scan"))
    return Cost(
        pages,
        middle(bill.execution for bill in bills),
        len(bills[0].plans),
        waiting,
        dearest=middle(max(plan.execution for plan in bill.plans) for bill in bills),
        read=frozenset(node.relation for node in whole if node.relation) - MAY_BE_READ,
    )
