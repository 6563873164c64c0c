"""What a long-open snapshot costs everybody else: dead rows pile up at the head of the queue."""

import contextlib
import time
from collections.abc import Iterator

import psycopg
import sqlalchemy as sa

from benchmarks.queue import people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, middle, percentile, size_name
from benchmarks.queue.plans import Bill, explain_claim
from benchmarks.queue.serving import Load, Round, Web, gunicorn, load_generator, one_round, place
from benchmarks.queue.web import Length, order
from crowd.core.db import Database
from crowd.policy import Grade, Stage, load_policy
from crowd.tasks.leases import Claimant
from crowd.tasks.marks import MarkBook
from crowd.tasks.models import Task, TaskState

PART = "snapshot"
PEOPLE = 40
ASKED = 3
# These people ask so often, as somebody who works quickly does.
PAUSE = 1.0
# The snapshot is held for so many times the length of the load; at its end two looks of this share each.
HELD, END_SHARE = 2, 0.25
# By how much it may slow a claim down.
MOST = 2.0
# Rework comes first, so a crowd that claims has no backlog of it: worked off before anything is compared.
MOST_REWORK, MOST_SETTLING = 20, 40


def measure(database: Built, length: Length, _say: Say) -> list[Figure]:
    """Before, and at the end of twice the time in which another session keeps a snapshot open."""
    seconds = HELD * length.seconds * length.rounds
    at_end = max(2.0, seconds * END_SHARE)
    with (
        place() as (folder, redis),
        load_generator() as load,
        gunicorn("application", database.url, folder, redis) as web,
        contextlib.closing(Database(database.url)) as db,
    ):
        look = _Look(database, load, web, db, Length(at_end, 1, PEOPLE))
        look.settle()
        before, cost_before = look.round(), look.bills()
        with held_snapshot(database):
            load.carry_out(order(database, web, Length(max(0.0, seconds - 2 * at_end), 1, PEOPLE)))
            after, cost_after = look.round(), look.bills()
    name = f"{seconds:g} s, {size_name(database.tasks)}"
    errors = Figure(PART, f"errors, {name}", "errors", float(look.errors), bound=0)
    return [*_figures(name, before, after, cost_before, cost_after), errors]


_REWORK = sa.select(sa.func.count()).where(
    Task.state == TaskState.READY,
    Task.reserved_for.is_(None),
    Task.bounced == sa.true(),
    Task.stage == Stage.ATTRIBUTES,
)


@contextlib.contextmanager
def held_snapshot(database: Built) -> Iterator[None]:
    """Another session that has read something and does not let go."""
    with psycopg.connect(database.server.address) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM workers")
        yield
        connection.rollback()


class _Look:
    """How the queue does at a moment: over HTTP, and inside PostgreSQL."""

    def __init__(self, database: Built, load: Load, web: Web, db: Database, length: Length) -> None:
        self._database = database
        self._load = load
        self._db = db
        self._web = web
        self._order = order(database, web, length)
        # Marks move at the pace that they move at in the application: dead rows pile up in between.
        self._book = MarkBook()
        self.errors = 0

    def settle(self) -> None:
        """Have the crowd work until the rework that a new queue brings along is done.

        Claims of rework and of new work are different statements: what is compared must be the same.
        """
        for _ in range(MOST_SETTLING):
            self.round()
            if self._rework() <= MOST_REWORK:
                return
        raise RuntimeError("the crowd does not come to the end of the rework")

    def _rework(self) -> int:
        with self._db.read() as conn:
            return conn.scalar(_REWORK) or 0

    def round(self) -> Round:
        """A short round of the crowd."""
        found = one_round(self._load, self._web, self._database.server.pid, self._order)
        self.errors += len(found.outcome.errors)
        return found

    def bills(self) -> list[Bill]:
        """What a few people's claims cost while the crowd works, but for the first claim of each."""
        policy, taxonomy = load_policy(), self._database.taxonomy_id
        members = people.of_grade(self._database.seed, Grade.GENERAL)[-ASKED:]
        found: list[Bill] = []
        self._load.begin(self._order)
        until = time.monotonic() + self._order.seconds
        while time.monotonic() < until or len(found) < 2 * ASKED:
            for member in members:
                claimant = Claimant(member.id, taxonomy)
                found.append(explain_claim(self._db, claimant, policy, self._book)[1])
            time.sleep(PAUSE)
        self.errors += len(self._load.end().errors)
        # Somebody who has not asked for long may have marks that are long out of date.
        return found[ASKED:]


def _figures(
    name: str, before: Round, after: Round, cost_before: list[Bill], cost_after: list[Bill]
) -> list[Figure]:
    def pages(bills: list[Bill]) -> float:
        return middle(float(bill.buffers) for bill in bills)

    def ms(bills: list[Bill]) -> float:
        return middle(bill.execution for bill in bills)

    def wait(round_: Round, share: float) -> float:
        return 1000 * percentile(round_.outcome.claims, share)

    cpu = after.per_cycle(after.postgres), before.per_cycle(before.postgres)
    return [
        Figure(PART, f"claim at the end of {name}", "pages", pages(cost_after), pages(cost_before)),
        Figure(PART, f"claim's SQL at the end of {name}", "ms", ms(cost_after), ms(cost_before), most=MOST),
        Figure(PART, f"claim p50 at the end of {name}", "ms", wait(after, 0.5), wait(before, 0.5), most=MOST),
        Figure(
            PART, f"claim p95 at the end of {name}", "ms", wait(after, 0.95), wait(before, 0.95), most=MOST
        ),
        Figure(PART, f"PostgreSQL's processor time a cycle at the end of {name}", "ms", *cpu),
    ]
