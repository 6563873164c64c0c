"""What taking pending tasks reads does not grow with the queue, nor with what has candidates already."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.queue.build import Built
from benchmarks.queue.plans import Bill, explain
from crowd.core import clock
from crowd.core.db import Database
from crowd.ml import pending, uses
from crowd.ml.models import CandidateMark, Candidates, Model, Serving
from crowd.ml.pending import Returned
from crowd.policy import Stage, load_policy
from crowd.tasks.models import Task, TaskState
from tests.ml.shelf import styles_card
from tests.queues import built_queue
from tests.servers import find_postgres_binaries

SMALL, LARGE = 2_000, 20_000
LIMIT = 16
MORE_PER_DESCENT = 2
# A page of tasks is looked up by key in two tables, each of which may have grown a level.
MORE_PER_ROW = 4
MOST_ROWS = 4 * pending.LEAST_PAGE


@dataclass(frozen=True)
class Place:
    """A built database in which a model of segmentation serves that has made the first half of its queue."""

    built: Built
    db: Database
    model_id: int

    def take(self, *, generic: bool) -> Bill:
        """The bill of taking a few tasks behind the mark."""
        bills = []
        for _ in range(3):
            taken, bill = explain(self.db, self._take, generic=generic)
            assert taken is not None
            assert len(taken.tasks) == LIMIT
            bills.append(bill)
        return min(bills, key=lambda bill: bill.buffers)

    def _take(self, conn: Any) -> Any:
        return pending.take(conn, Stage.SEGMENTATION, LIMIT, load_policy(), clock.now(), Returned())


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Place, Place]]:
    """The small one and the large one."""
    if find_postgres_binaries() is None:
        pytest.skip("no PostgreSQL server binaries here")
    with built_queue(SMALL) as small, built_queue(LARGE) as large:
        dbs = [Database(each.url) for each in (small, large)]
        yield Place(small, dbs[0], _half_made(dbs[0])), Place(large, dbs[1], _half_made(dbs[1]))
        for db in dbs:
            db.close()


def _half_made(db: Database) -> int:
    with db.begin() as conn:
        now = clock.now()
        model = {
            "stage": Stage.SEGMENTATION,
            "name": "half",
            "version": 1,
            "file": "models/half",
            "sha256": b"0" * 32,
            "card": styles_card(),
            "metrics": {},
            "created_at": now,
        }
        model_id: int = conn.execute(sa.insert(Model).values(model).returning(Model.id)).scalar_one()
        values = {"stage": Stage.SEGMENTATION, "model_id": model_id, "since": now}
        conn.execute(sa.insert(Serving).values(values))
        waiting = sa.select(Task.id).where(
            Task.stage == Stage.SEGMENTATION,
            Task.state == TaskState.READY,
            Task.bounced == sa.false(),
            Task.priority == 0,
        )
        ids = conn.execute(waiting.order_by(Task.id)).scalars().all()
        done = ids[: len(ids) // 2]
        assert len(ids) - len(done) > LIMIT
        rows = [
            {"task_id": task_id, "model_id": model_id, "value": {"regions": []}, "made_at": now}
            for task_id in done
        ]
        conn.execute(sa.insert(Candidates), rows)
        mark = {"model_id": model_id, "priority": 0, "task_id": done[-1]}
        conn.execute(sa.insert(CandidateMark).values(mark))
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")
    return model_id


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both queues as many rows are read at a time."""
    monkeypatch.setattr(pending, "PAGE", pending.LEAST_PAGE)


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
def test_taking_reads_no_more_in_a_longer_queue(places: tuple[Place, Place], generic: bool) -> None:
    small, large = (place.take(generic=generic) for place in places)
    most = small.buffers + MORE_PER_DESCENT * large.descents + MORE_PER_ROW * pending.PAGE
    assert large.buffers <= most, [(plan.buffers, plan.name) for plan in large.plans]
    rows = {plan.name: max(node.rows + node.removed for node in plan.nodes) for plan in large.plans}
    assert max(rows.values()) <= MOST_ROWS, rows


def test_figures_read_sums_and_no_answers(places: tuple[Place, Place]) -> None:
    _, bill = explain(places[1].db, uses.figures)
    read = {node.relation for plan in bill.plans for node in plan.nodes if node.relation}
    assert read <= {"candidate_use_sums", "candidate_use_deltas", "models", "serving_models"}
