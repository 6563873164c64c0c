"""What a long-open snapshot costs everybody else: dead rows pile up at the head of the queue."""

import contextlib
from collections.abc import Iterator

import psycopg

from benchmarks.queue import people
from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, middle, percentile, size_name
from benchmarks.queue.plans import Bill, explain_claim
from benchmarks.queue.serving import Load, Round, Web, gunicorn, load_generator, one_round, place
from benchmarks.queue.web import Length, order
from crowd.core.db import Database
from crowd.policy import Grade, load_policy
from crowd.tasks.leases import Claimant
from crowd.tasks.marks import MarkBook

PART = "snapshot"
PEOPLE = 40
ASKED, CLAIMS = 3, 3
# Of the time that the snapshot is held, the last share is what is compared with before.
END_SHARE = 0.25


def measure(database: Built, length: Length, _say: Say) -> list[Figure]:
    """Before, and at the end of twice the time in which another session keeps a snapshot open."""
    seconds = 2 * length.seconds * length.rounds
    at_end = max(2.0, seconds * END_SHARE)
    look = _Look(database, Length(at_end, 1, PEOPLE))
    with (
        place() as (folder, redis),
        load_generator() as load,
        gunicorn("application", database.url, folder, redis) as web,
        contextlib.closing(Database(database.url)) as db,
    ):
        look.round(load, web)
        look.bills(db)
        before, cost_before = look.round(load, web), look.bills(db)
        with held_snapshot(database):
            load.carry_out(order(database, web, Length(seconds - at_end, 1, PEOPLE)))
            after, cost_after = look.round(load, web), look.bills(db)
    return _figures(f"{seconds:g} s, {size_name(database.tasks)}", before, after, cost_before, cost_after)


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

    def __init__(self, database: Built, length: Length) -> None:
        self._database = database
        self._length = length
        # Those whose marks stood still in this process are who a snapshot harms least or most.
        self._book = MarkBook(pause=0.0)

    def round(self, load: Load, web: Web) -> Round:
        """A short round of the crowd."""
        return one_round(load, web, self._database.server.pid, order(self._database, web, self._length))

    def bills(self, db: Database) -> list[Bill]:
        """What some people's claims cost, after their first few."""
        policy, found = load_policy(), []
        for member in people.of_grade(self._database.seed, Grade.GENERAL)[-ASKED:]:
            claimant = Claimant(member.id, self._database.taxonomy_id)
            found += [explain_claim(db, claimant, policy, self._book)[1] for _ in range(2 * CLAIMS)][CLAIMS:]
        return found


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
    errors = len(before.outcome.errors) + len(after.outcome.errors)
    return [
        Figure(PART, f"claim at the end of {name}", "pages", pages(cost_after), pages(cost_before)),
        Figure(PART, f"claim's SQL at the end of {name}", "ms", ms(cost_after), ms(cost_before)),
        Figure(PART, f"claim p50 at the end of {name}", "ms", wait(after, 0.5), wait(before, 0.5)),
        Figure(PART, f"claim p95 at the end of {name}", "ms", wait(after, 0.95), wait(before, 0.95)),
        Figure(PART, f"PostgreSQL's processor time a cycle at the end of {name}", "ms", *cpu),
        Figure(PART, f"errors, {name}", "errors", float(errors), bound=0),
    ]
