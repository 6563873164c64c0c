"""Assignments: work that is kept for a person or a group until a deadline, and then is everybody's again.

An assigned task is in a state of its own and so in none of the queue's indexes: other people's claims
cost what they did. Who holds an assignment is known by the process for two seconds, so theirs cost no
statement more either. `docs/decisions/0013-steering.md` says why.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection

from crowd.accounts import groups
from crowd.accounts import queries as people
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.policy import Policy, Stage
from crowd.tasks import assignment_queries as queries
from crowd.tasks.claim_queries import Assigned
from crowd.tasks.models import AssignmentTurn, TaskState

# How long a process goes by what it knows of assignments.
KNOWN_SECONDS = 2.0
PAGE = 200
# Of one assignment at each upkeep, so that the next one is not late.
MOST_PAGES = 25
# A batch is gone through again for what has opened since.
WALK_AGAIN = timedelta(seconds=60)
# A task may come back from whoever let it go while the assignment ended.
SWEPT_FOR = timedelta(days=1)
LONGEST = timedelta(days=366)
MOST_TASKS = 1_000_000


class Roster:
    """Who may take from which assignments, as this process knows it. Threads may share it."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, known: float = KNOWN_SECONDS
    ) -> None:
        self._monotonic = monotonic
        self._known = known
        self._of: Mapping[int, tuple[Assigned, ...]] = {}
        self._until = float("-inf")
        self._turn = threading.Lock()

    def of(self, conn: Connection, worker_id: int, now: datetime) -> Sequence[Assigned]:
        """This person's, and those of the group they belong to; soonest due first."""
        if self._monotonic() >= self._until:
            self._read(conn, now)
        return self._of.get(worker_id, ())

    def forget(self) -> None:
        """Look again at the next claim."""
        self._until = float("-inf")

    def _read(self, conn: Connection, now: datetime) -> None:
        until = self._monotonic() + self._known
        found: dict[int, list[Assigned]] = {}
        for row in queries.running_by_person(conn, now):
            found.setdefault(row.worker_id, []).append(Assigned(row.id, row.stage))
        with self._turn:
            self._of = {worker_id: tuple(each) for worker_id, each in found.items()}
            self._until = until


_ROSTERS: WeakKeyDictionary[Database, Roster] = WeakKeyDictionary()


def roster_of(db: Database) -> Roster:
    """What this process knows of assignments in a database."""
    return _ROSTERS.setdefault(db, Roster())


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be assigned, to a person or to a group, until when and why."""

    stage: Stage
    deadline: datetime
    worker_id: int | None = None
    group_id: int | None = None
    batch_id: int | None = None
    count: int | None = None
    reason: str = ""


def assign(conn: Connection, order: Order, policy: Policy, now: datetime, *, by: int) -> int:
    """A new assignment, with the first of its tasks; upkeep keeps the others. Returns its id.

    Raises a 422 that names the field.
    """
    _check(conn, order, policy, now)
    assignment_id = queries.add(
        conn,
        {
            "stage": order.stage,
            "worker_id": order.worker_id,
            "group_id": order.group_id,
            "batch_id": order.batch_id,
            "count": order.count,
            "deadline": order.deadline,
            "made_at": now,
        },
    )
    queries.record(conn, assignment_id, AssignmentTurn.MADE, by=by, reason=order.reason, at=now)
    _keep_page(conn, assignment_id, policy, now)
    return assignment_id


def _check(conn: Connection, order: Order, policy: Policy, now: datetime) -> None:
    if (order.worker_id is None) == (order.group_id is None):
        raise field_error("worker", "give either worker or group")
    if not now < order.deadline <= now + LONGEST:
        raise field_error("deadline", f"must lie in the next {LONGEST.days} days")
    if order.batch_id is not None and not queries.has_batch(conn, order.batch_id):
        raise field_error("batch", f"there is no batch {order.batch_id}")
    if order.group_id is not None:
        try:
            groups.find(conn, order.group_id)
        except NotFound as missing:
            raise field_error("group", missing.detail) from None
        if not queries.has_able_member(conn, order.group_id, policy.stages[order.stage].grades):
            raise field_error("group", f"nobody in good standing in it works on {order.stage}")
        return
    assert order.worker_id is not None
    person = people.person(conn, order.worker_id)
    if person is None or person.erased or person.suspended:
        raise field_error("worker", f"there is no worker {order.worker_id} in good standing")
    if order.stage not in policy.stages_for(person.grade):
        raise field_error("stage", f"the grade {person.grade} does not work on {order.stage}")


def end(conn: Connection, assignment_id: int, now: datetime, *, by: int | None, reason: str) -> None:
    """The assignment ends and what is left of it is everybody's; upkeep returns what one page does not.

    Raises NotFound, and Conflict `ended`.
    """
    assignment = queries.lock(conn, assignment_id, wait=True)
    if assignment is None:
        raise NotFound("no_such_assignment", f"There is no assignment {assignment_id}.")
    if assignment.ended_at is not None:
        raise Conflict("ended", "The assignment has ended.")
    queries.change(conn, assignment_id, ended_at=now)
    queries.record(conn, assignment_id, AssignmentTurn.ENDED, by=by, reason=reason, at=now)
    _return_page(conn, assignment_id)


def end_standing(conn: Connection, worker_id: int, kept: Sequence[Stage], now: datetime) -> None:
    """A person was suspended or regraded: nothing stays assigned to them alone outside of `kept`."""
    for assignment_id in queries.of_person(conn, worker_id, kept):
        end(conn, assignment_id, now, by=None, reason="no longer of the grade, or suspended")


def upkeep(db: Database, policy: Policy, now: datetime) -> int:
    """End what is overdue, return what ended, keep what is still to be kept. Returns how many tasks moved.

    What nobody may take any more whom it was kept for is returned too: members leave, fall, or had a part
    in the image meanwhile, and until the deadline nobody else would find it.

    Any number of processes may do this at once: what another one works on is passed over.
    """
    with db.read() as conn:
        overdue = queries.overdue(conn, now)
    for assignment_id in overdue:
        with db.begin() as conn:
            assignment = queries.lock(conn, assignment_id, wait=False)
            if assignment is not None and assignment.ended_at is None:
                end(conn, assignment_id, now, by=None, reason="its deadline came")
    with db.read() as conn:
        running, ended = queries.running(conn), queries.ended_since(conn, now - SWEPT_FOR)
    moved = 0
    for assignment_id in ended:
        moved += _by_pages(db, lambda conn, each=assignment_id: _return_page(conn, each))  # type: ignore[misc]
    for assignment_id in running:
        moved += _by_pages(db, lambda conn, each=assignment_id: _return_barred(conn, each, policy))  # type: ignore[misc]
        moved += _by_pages(db, lambda conn, each=assignment_id: _keep_page(conn, each, policy, now))  # type: ignore[misc]
    return moved


def _by_pages(db: Database, page: Callable[[Connection], int | None]) -> int:
    """Do pages, each its own transaction, until one says None or there were many."""
    moved = 0
    for _ in range(MOST_PAGES):
        with db.begin() as conn:
            done = page(conn)
        if done is None:
            break
        moved += done
    return moved


def _keep_page(conn: Connection, assignment_id: int, policy: Policy, now: datetime) -> int | None:
    """Keep some more tasks; None when there is nothing more for now."""
    assignment = queries.lock(conn, assignment_id, wait=False)
    if assignment is None or assignment.ended_at is not None or assignment.deadline <= now:
        return None
    missing = PAGE if assignment.count is None else min(PAGE, assignment.count - assignment.taken)
    if missing <= 0:
        return None
    if assignment.batch_id is not None:
        return _keep_of_batch(conn, assignment, missing, policy, now)
    found = queries.head_of_queue(conn, assignment, policy.stages[assignment.stage].grades, missing)
    if not found:
        return None
    kept = queries.keep(conn, assignment_id, found)
    queries.change(conn, assignment_id, taken=assignment.taken + kept)
    return kept


def _keep_of_batch(
    conn: Connection, assignment: AnyRow, missing: int, policy: Policy, now: datetime
) -> int | None:
    rests = assignment.walked_at is not None and now - assignment.walked_at < WALK_AGAIN
    if assignment.seen_image_id == 0 and rests:
        return None
    found, last = queries.next_of_batch(conn, assignment, policy.stages[assignment.stage].grades, PAGE)
    kept = queries.keep(conn, assignment.id, found[:missing]) if found else 0
    # Stopped by the count: whatever else this page held is looked at again, should the count not hold.
    place = {"seen_image_id": last} if last is not None else {"seen_image_id": 0, "walked_at": now}
    queries.change(conn, assignment.id, taken=assignment.taken + kept, **place)
    return kept if last is not None else None


def _return_barred(conn: Connection, assignment_id: int, policy: Policy) -> int | None:
    """Return what nobody whom it is for may take, of what is next in line; None when there is nothing."""
    assignment = queries.lock(conn, assignment_id, wait=False)
    if assignment is None or assignment.ended_at is not None:
        return None
    grades = policy.stages[assignment.stage].grades
    returned = queries.give_back_barred(conn, assignment, grades, PAGE)
    if not returned:
        return None
    queries.change(conn, assignment_id, returned=assignment.returned + returned)
    return returned


def _return_page(conn: Connection, assignment_id: int) -> int | None:
    """Return some tasks of an assignment that ended; None when there are none."""
    returned = queries.give_back(conn, assignment_id, PAGE)
    if not returned:
        return None
    assignment = queries.lock(conn, assignment_id, wait=True)
    assert assignment is not None
    queries.change(conn, assignment_id, returned=assignment.returned + returned)
    return returned


def shown(conn: Connection, rows: Sequence[AnyRow]) -> list[dict[str, object]]:
    """Assignments with how far they have come: `waiting`, `leased`, `done`, and what was closed or stuck."""
    counted = queries.counted(conn, [row.id for row in rows])
    return [
        {
            **row._mapping,
            "waiting": counted[row.id].get(TaskState.ASSIGNED, 0),
            "leased": counted[row.id].get(TaskState.LEASED, 0),
            "done": counted[row.id].get(TaskState.DONE, 0),
            "closed": counted[row.id].get(TaskState.CLOSED, 0) + counted[row.id].get(TaskState.STUCK, 0),
        }
        for row in rows
    ]
