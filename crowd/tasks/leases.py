"""Leases: claiming a task, keeping it, giving it back, and what happens when nobody comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.images.history import Happening, record
from crowd.images.models import What
from crowd.policy import Grade, Policy, Stage
from crowd.tasks import claim_queries, lease_queries, queries, shadow_queries, shadows
from crowd.tasks.assignments import Roster
from crowd.tasks.claim_queries import Assigned
from crowd.tasks.flow import downstream_first
from crowd.tasks.marks import NONE, Horizon, MarkBook, Marks
from crowd.tasks.models import Purpose, TaskState
from crowd.tasks.shadows import Errand
from crowd.tasks.wip import Valve


class QueueState(StrEnum):
    """Why there is no task for a person just now."""

    CAPPED = "capped"
    LEASED = "leased"
    PAUSED = "paused"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Claimant:
    """The person who asks, and the taxonomy version that the task will keep."""

    worker_id: int
    taxonomy_id: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A task given back: its token, why, and whether it is to stay away for a while."""

    token: int
    reason: str = ""
    skip: bool = False


def claim(
    conn: Connection,
    claimant: Claimant,
    policy: Policy,
    now: datetime,
    only: Stage | None = None,
    *,
    book: MarkBook | None = None,
    roster: Roster | None = None,
    valve: Valve | None = None,
) -> AnyRow | QueueState:
    """The next task for this person, leased to them; or why there is none.

    The order is flow.md's "Claim order"; `book` tells where the search begins, without it that is the
    head of the queue; `roster` what is assigned to whom, without it nothing is; `valve` which stages
    pause, without it none does. Raises Forbidden for someone suspended or not allowed at the stage
    asked for.
    """
    grade, stages = _permitted(conn, claimant, policy, only)
    if lease_queries.held(conn, claimant.worker_id, now, batch=False) >= policy.held_leases:
        return QueueState.CAPPED
    assigned = roster.of(conn, claimant.worker_id, now) if roster else ()
    paused = valve.paused(conn, policy) if valve else frozenset()
    search = _Search(conn, claimant.worker_id, stages, now, book, assigned=assigned, paused=paused)
    stale = search.stale_marks()
    found = _still_theirs(search, policy)
    # Only when nothing is ready is it worth looking for what ran out since the last upkeep.
    if found is None and (search.forget(stale) | tidy(conn, policy, now)):
        found = _still_theirs(search, policy)
    if not _is_rework(found):
        asking = shadows.Asking(claimant.worker_id, grade, only, claimant.taxonomy_id)
        seat = shadows.first_call(conn, asking, now) or _errand(conn, claimant, grade, stages, found, now)
        if seat is not None:
            return seat
    if found is not None:
        (task,) = _take(conn, claimant, [found], policy, now)
        return task
    if lease_queries.somebody_holds(conn, claimant.worker_id, stages, now):
        return QueueState.LEASED
    return QueueState.EMPTY if paused.isdisjoint(stages) else QueueState.PAUSED


def claim_batch(
    conn: Connection,
    claimant: Claimant,
    policy: Policy,
    now: datetime,
    limit: int,
    *,
    book: MarkBook | None = None,
    roster: Roster | None = None,
    valve: Valve | None = None,
) -> Sequence[AnyRow]:
    """Up to `limit` second reviews for the grid, one seat of an image at most; see `claim` for the rest."""
    _permitted(conn, claimant, policy, Stage.SECOND_REVIEW)
    room = policy.batch_leases - lease_queries.held(conn, claimant.worker_id, now, batch=True)
    assigned = roster.of(conn, claimant.worker_id, now) if roster else ()
    paused = valve.paused(conn, policy) if valve else frozenset()
    stages = [Stage.SECOND_REVIEW]
    search = _Search(conn, claimant.worker_id, stages, now, book, assigned=assigned, paused=paused)
    stale = search.stale_marks()
    wanted = min(limit, room)
    taken = _take_several(claimant, search, wanted, policy)
    if len(taken) < wanted and (search.forget(stale) | tidy(conn, policy, now)):
        # A mark made now would pass over what this transaction took, and may yet give back.
        search = replace(search, may_move=not taken)
        taken += _take_several(claimant, search, wanted - len(taken), policy)
    return taken


def heartbeat(
    conn: Connection,
    worker_id: int,
    task_id: int,
    token: int,
    policy: Policy,
    now: datetime,
) -> datetime:
    """Keep the lease, or win it back when it ran out and nobody else has the task; its new end.

    Raises NotFound, Forbidden (never theirs; suspended), Conflict (`lease_lost`, `superseded`).
    """
    # The person first, the task as it is then: meanwhile none of their claims can take the other seat.
    person = queries.lock_worker(conn, worker_id)
    task = own_task(conn, worker_id, task_id, token)
    if person.barred:
        raise suspended()
    until = now + timedelta(seconds=policy.stages[task.stage].lease_seconds)
    # Since the lease ran out they may have taken the other seat of this image.
    lost = task.state is not TaskState.LEASED and (
        lease_queries.took_again(conn, task, worker_id) or shadows.is_over(conn, task, worker_id, policy)
    )
    if lost or not lease_queries.extend(conn, task_id, token, worker_id, until):
        raise why_not(task)
    return until


def release(
    conn: Connection, worker_id: int, task_id: int, given_back: GivenBack, policy: Policy, now: datetime
) -> None:
    """Give a task back to where it stood; with `skip` it stays away from the person for a while.

    Repeating it is no error. Raises NotFound and Forbidden as `heartbeat` does.
    """
    task = own_task(conn, worker_id, task_id, given_back.token)
    if not lease_queries.put_back(conn, task_id, given_back.token, worker_id, now):
        return
    why = {"reason": given_back.reason, "skip": given_back.skip}
    released = Happening(What.RELEASED, worker_id=worker_id, stage=task.stage, task_id=task_id, why=why)
    record(conn, task.image_id, released, now)
    if given_back.skip:
        until = now + timedelta(seconds=policy.skip_seconds)
        if lease_queries.note_miss(conn, task_id, worker_id, until) >= policy.stuck_after:
            lease_queries.mark_stuck(conn, task_id)


def tidy(conn: Connection, policy: Policy, now: datetime) -> bool:
    """Take back what ran out: leases and reservations. Returns whether anything changed.

    Any number of processes may do this at once: rows another one works on are passed over.
    """
    lapsed = 0
    for row in lease_queries.expired(conn, now):
        if not lease_queries.lapse(conn, row.id, row.token, now):
            continue
        lapsed += 1
        if lease_queries.note_miss(conn, row.id, row.worker_id, None) >= policy.stuck_after:
            lease_queries.mark_stuck(conn, row.id)
    opened = lease_queries.end_reservations(conn, now)
    return bool(lapsed or opened)


def end_standing(conn: Connection, worker_id: int, kept: Sequence[Stage], *, leases: bool) -> None:
    """A person was suspended or regraded: nothing is kept waiting for them outside of `kept`."""
    if leases:
        lease_queries.end_leases_of(conn, worker_id)
    lease_queries.end_reservations_of(conn, worker_id, kept)


def own_task(conn: Connection, worker_id: int, task_id: int, token: int) -> AnyRow:
    """The task, if this token of it was given to this person. Raises NotFound, Forbidden."""
    task = queries.task_and_claimant(conn, task_id, token)
    if task is None:
        raise NotFound("no_such_task", f"There is no task {task_id}.")
    if task.claimant_id != worker_id:
        raise Forbidden("not_your_lease", "This token of the task was never given to you.")
    return task


def suspended() -> Forbidden:
    """The refusal of someone suspended."""
    return Forbidden("suspended", "You are suspended; ask an admin.")


def lease_lost() -> Conflict:
    """The refusal of a token that another claim or a release has overtaken."""
    return Conflict("lease_lost", "The task was given back or claimed anew; this token is spent.")


def superseded() -> Conflict:
    """The refusal of an answer to a task that the image has left behind."""
    return Conflict("superseded", "The image has moved on; the task is closed.")


def _is_rework(found: AnyRow | None) -> bool:
    """Whether it was bounced or is reserved: no shadow seat comes before that."""
    return found is not None and (found.bounced or found.reserved_until is not None)


def _errand(
    conn: Connection,
    claimant: Claimant,
    grade: Grade,
    stages: Sequence[Stage],
    found: AnyRow | None,
    now: datetime,
) -> AnyRow | None:
    """A seat that waits for somebody uninvolved."""
    if Stage.ADJUDICATION not in stages:
        return None
    asked = Errand(claimant.worker_id, grade, claimant.taxonomy_id, now, pressing=found is not None)
    return shadows.errand(conn, asked)


def _permitted(
    conn: Connection, claimant: Claimant, policy: Policy, only: Stage | None
) -> tuple[Grade, list[Stage]]:
    worker = queries.lock_worker(conn, claimant.worker_id)
    if worker.barred:
        raise suspended()
    stages = policy.stages_for(worker.grade)
    if only is not None and only not in stages:
        raise Forbidden("not_your_stage", f"The grade {worker.grade} does not work on {only}.")
    return worker.grade, downstream_first((only,) if only else stages)


@dataclass(frozen=True, slots=True)
class _Search:
    """One person's search through the queue, in flow.md's "Claim order"."""

    conn: Connection
    worker_id: int
    stages: Sequence[Stage]
    now: datetime
    book: MarkBook | None
    may_move: bool = True
    assigned: Sequence[Assigned] = ()
    paused: frozenset[Stage] = frozenset()

    def first(self) -> AnyRow | None:
        """The next task, locked: reserved, else assigned, else bounced, else new."""
        if not self.stages:
            return None
        rework = claim_queries.next_rework(self.conn, self.worker_id, self.stages, self.now, self.assigned)
        if rework is not None:
            return rework
        for stage in self.stages:
            if stage in self.paused:
                continue
            for row in self._new(stage, 1):
                return row
        return None

    def several(self, limit: int) -> Sequence[AnyRow]:
        """The next tasks of one stage, locked: some assigned, else some bounced, else some new ones."""
        (stage,) = self.stages
        assigned = claim_queries.assigned_at(
            self.conn, self.worker_id, stage, self.assigned, self.now, limit=limit
        )
        if assigned:
            return assigned
        bounced = claim_queries.bounced_at(self.conn, self.worker_id, stage, self.now, limit=limit)
        if bounced or stage in self.paused:
            return bounced
        return self._new(stage, limit)

    def stale_marks(self) -> list[Stage]:
        """The stages whose marks are too old to call their queue empty by."""
        book = self.book
        return [] if book is None else [each for each in self.stages if book.are_stale(self.worker_id, each)]

    def forget(self, stages: Sequence[Stage]) -> bool:
        """Begin at the head of these; whether there are any."""
        for stage in stages:
            if self.book is not None:
                self.book.forget(self.worker_id, stage)
        return bool(stages)

    def _new(self, stage: Stage, limit: int) -> Sequence[AnyRow]:
        marks = self._marks(stage)
        found = claim_queries.next_new(self.conn, self.worker_id, stage, marks, self.now, limit=limit)
        if self.book is not None and self.may_move:
            self._move(self.book, stage, marks, found[0] if found else None)
        return found

    def _move(self, book: MarkBook, stage: Stage, marks: Marks, found: AnyRow | None) -> None:
        if book.is_worth_moving(self.worker_id, stage, found):
            # Before the search: what is committed between the two would be behind the mark, and never seen.
            seen = claim_queries.horizon(self.conn, book)
            end = claim_queries.first_open(self.conn, self.worker_id, stage, marks)
            self._keep(book, stage, marks, end, seen)

    def _keep(self, book: MarkBook, stage: Stage, marks: Marks, end: AnyRow | None, seen: Horizon) -> None:
        moved = claim_queries.marks_before(self.conn, stage, marks, end, self.now, seen)
        made_at = self.now - timedelta(seconds=book.move(self.worker_id, stage, moved))
        claim_queries.keep_marks(self.conn, self.worker_id, stage, moved, made_at)

    def _look_ahead(self, book: MarkBook, stage: Stage) -> None:
        """Make marks before the search: whatever stands at the head is stepped over once, not twice."""
        seen = claim_queries.horizon(self.conn, book)
        end = claim_queries.first_open(self.conn, self.worker_id, stage, NONE)
        if book.is_worth_moving(self.worker_id, stage, end):
            self._keep(book, stage, NONE, end, seen)
        else:
            book.move(self.worker_id, stage, {})

    def _marks(self, stage: Stage) -> Marks:
        """Where to begin; a process that does not know it yet begins where another one did."""
        if self.book is None:
            return NONE
        if not self.book.knows(self.worker_id, stage):
            kept = claim_queries.kept_marks(self.conn, self.worker_id, stage, self.now)
            self.book.begin(self.worker_id, stage, kept.by_priority, age=kept.age)
        if self.may_move and self.book.is_at_head(self.worker_id, stage):
            self._look_ahead(self.book, stage)
        return self.book.of(self.worker_id, stage)


def _take_several(claimant: Claimant, search: _Search, wanted: int, policy: Policy) -> list[AnyRow]:
    taken: list[AnyRow] = []
    while (missing := wanted - len(taken)) > 0 and (found := search.several(missing)):
        search = replace(search, may_move=False)
        # Both seats of an image can be in one answer: the second one stays in the queue, and
        # the next search no longer finds it.
        first_seats = {row.image_id: row for row in reversed(found)}
        seats = list(first_seats.values())
        taken += _take(search.conn, claimant, seats, policy, search.now, batch=True)
    # In the order of claims: what a shadow seat stood in for is found again, behind what came after it.
    return sorted(taken, key=lambda task: (not task.bounced, task.priority, task.id))


def _take(
    conn: Connection,
    claimant: Claimant,
    found: Sequence[AnyRow],
    policy: Policy,
    now: datetime,
    *,
    batch: bool = False,
) -> Sequence[AnyRow]:
    """The tasks found, all of one stage, leased; or shadow seats that stand in for some of them."""
    worker_id, taxonomy_id = claimant.worker_id, claimant.taxonomy_id
    until = now + timedelta(seconds=policy.stages[found[0].stage].lease_seconds)
    ids, seats = [], []
    for row in found:
        place = shadows.stand_in(conn, worker_id, row, now)
        if place is None:
            ids.append(row.id)
        else:
            seats.append(shadow_queries.sit(conn, place, worker_id, taxonomy_id, now, until, batch=batch))
    taken = lease_queries.take(conn, ids, worker_id, taxonomy_id, now, until, batch=batch) if ids else []
    return sorted([*taken, *seats], key=lambda task: task.id) if seats else taken


def _still_theirs(search: "_Search", policy: Policy) -> AnyRow | None:
    """The next task; a shadow seat that they let go and that somebody else would have by now is none."""
    found = search.first()
    while found is not None and shadows.is_over(search.conn, found, search.worker_id, policy):
        found = search.first()
    return found


def why_not(task: AnyRow) -> Conflict:
    """Why an overtaken token is refused. A shadow seat is like a task that somebody else has."""
    moved_on = task.state is TaskState.CLOSED and task.purpose is Purpose.WORK
    return superseded() if moved_on else lease_lost()
