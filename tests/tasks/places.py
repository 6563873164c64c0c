"""Queues of two sizes, as `benchmarks.queue` builds them, for tests that look at plans and pages."""

from dataclasses import dataclass

from flask.testing import FlaskClient
from sqlalchemy.engine import Connection

from benchmarks.queue.build import Built
from benchmarks.queue.plans import Bill, Plan, explain, explain_batch, explain_claim, watching
from crowd.core import clock
from crowd.core.db import Database
from crowd.policy import Stage, load_policy
from crowd.tasks import claim_queries
from crowd.tasks.assignments import Roster
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.marks import MarkBook, Marks

SMALL, LARGE = 2_000, 20_000
CLAIMS = 4
GRID = 20
# A page for the tree's next level, and one for a row that lies on another page than its neighbour.
MORE_PER_DESCENT = 2
# A row found by its key: down the tree, and the row's own page.
PAGES_OF_A_ROW = 4
# Tasks read by one statement, and of these thrown away: those of one person, never those of everybody.
MOST_READ = 100
MOST_REMOVED = 20


@dataclass(frozen=True)
class Place:
    """A built database and a way in."""

    built: Built
    db: Database

    def claim(
        self, worker_id: int, *, generic: bool = False, leaning: str = "", roster: Roster | None = None
    ) -> Bill:
        """The smallest bill of a few claims: the first costs more, and so does a page that fills up."""
        book, claimant = MarkBook(pause=0.0), Claimant(worker_id, self.built.taxonomy_id)
        bills = []
        for _ in range(CLAIMS):
            found, bill = explain_claim(
                self.db, claimant, load_policy(), book, generic=generic, leaning=leaning, roster=roster
            )
            assert not isinstance(found, QueueState)
            bills.append(bill)
        return min(bills, key=lambda bill: bill.buffers)

    def request(self, client: FlaskClient, token: str) -> Bill:
        """The smallest bill of all statements of a few requests for a task, each given back."""
        head = {"Authorization": f"Bearer {token}"}
        bills = []
        for _ in range(CLAIMS):
            with watching(self.db.engine) as plans:
                answer = client.post("/api/v1/tasks/claim", headers=head)
            assert answer.status_code == 200
            task = answer.get_json()
            back = f"/api/v1/tasks/{task['id']}/release"
            client.post(back, headers=head, json={"token": task["lease"]["token"]})
            bills.append(Bill(tuple(plans)))
        return min(bills, key=lambda bill: bill.buffers)

    def search_in_vain(self, worker_id: int, stage: Stage) -> Bill:
        """What the queue's search reads, after the first time, for somebody for whom it holds nothing."""
        book, claimant = MarkBook(pause=0.0), Claimant(worker_id, self.built.taxonomy_id)
        for _ in range(CLAIMS):
            found, bill = explain_claim(self.db, claimant, load_policy(), book, stage)
            assert isinstance(found, QueueState)
        return Bill(tuple(plan for plan in bill.plans if is_search(plan)))

    def claim_batch(self, worker_id: int, *, generic: bool = False, leaning: str = "") -> Bill:
        """The same as `claim` for the grid."""
        book, claimant = MarkBook(pause=0.0), Claimant(worker_id, self.built.taxonomy_id)
        bills = []
        for _ in range(CLAIMS):
            found, bill = explain_batch(
                self.db, claimant, load_policy(), book, GRID, generic=generic, leaning=leaning
            )
            assert len(found) == GRID
            bills.append(bill)
        return min(bills, key=lambda bill: bill.buffers)

    def move_marks(self, worker_id: int, stage: Stage, *, generic: bool = False) -> Bill:
        """What it reads to move marks that were found before, and to keep them."""
        none = Marks()
        with self.db.read() as conn:
            end = claim_queries.first_open(conn, worker_id, stage, none)
            found = Marks(claim_queries.marks_before(conn, stage, none, end, clock.now()))

        def move(conn: Connection) -> None:
            now = clock.now()
            end = claim_queries.first_open(conn, worker_id, stage, found)
            moved = claim_queries.marks_before(conn, stage, found, end, now)
            claim_queries.keep_marks(conn, worker_id, stage, moved, now)
            claim_queries.kept_marks(conn, worker_id, stage, now)

        return min(
            (explain(self.db, move, generic=generic)[1] for _ in range(CLAIMS)), key=lambda bill: bill.buffers
        )


def joins(bill: Bill) -> list[str]:
    """Searches through the queue that put tables side by side, and do not ask for one task after another."""
    kinds = ("Hash Join", "Merge Join", "Hash", "Materialize")
    return [
        f"{plan.name}: {node}" for plan in bill.plans if is_search(plan) for node in plan.nodes_of(*kinds)
    ]


def shapes(bill: Bill) -> dict[str, list[str]]:
    """How each search through the queue was run."""
    return {plan.text: [str(node) for node in plan.nodes] for plan in bill.plans if is_search(plan)}


def is_search(plan: Plan) -> bool:
    """Not what is done besides before a queue is called empty: what ran out is taken back."""
    return any(node.index in ("ix_tasks_ready", "ix_tasks_returned") for node in plan.nodes)


def clean(place: Place, tables: str = "tasks") -> None:
    """Drop what no longer counts, and let the planner know of what does."""
    with place.db.read() as conn:
        conn.exec_driver_sql(f"VACUUM (ANALYZE) {tables}")


def assert_flat(
    small: Bill,
    large: Bill,
    *,
    most_removed: int = MOST_REMOVED,
    sorted_rows: int = 0,
    looked_up: int = 0,
) -> None:
    """No scan, no sort, and no more pages than taller trees explain.

    `looked_up`: rows that a statement bounded by itself may look up more, where the smaller queue has fewer.
    """
    found = {
        plan.name: (flaws, [str(node) for node in plan.nodes])
        for plan in large.plans
        if (flaws := plan.flaws_beyond(sorted_rows))
    }
    assert not found, found
    for plan in large.plans:
        of_tasks = [node for node in plan.nodes if node.relation == "tasks"]
        removed = sum(node.removed for node in of_tasks)
        assert removed <= most_removed, (removed, plan.name)
        read = max((node.rows for node in of_tasks), default=0)
        assert read <= MOST_READ, (read, plan.name)
    # Those of the smaller one alone: a search that goes down more often must not earn itself pages by that.
    most = max(small.buffers, 1) + MORE_PER_DESCENT * small.descents + PAGES_OF_A_ROW * looked_up
    # A row more that was read and thrown away may lie on a page of its own.
    most += most_removed - MOST_REMOVED
    assert large.buffers <= most, [(plan.buffers, plan.name) for plan in large.plans]
