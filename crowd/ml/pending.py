"""Which tasks wait for candidates: taken in the order in which the crowd will claim them, given back as done.

Nothing is written when a task becomes ready. Pending is every new task of the stage's queue behind the
serving model's mark, what is kept for the people of an assignment, and the few that have a job. Whoever takes
tasks holds the lock on the stage's row for the moment of it, gives each a job that is due again should they
die, and moves the mark beyond them. `docs/decisions/0008-candidates.md` says why nothing is overlooked. Knows
no torch.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, AnyRow, AnySelect
from crowd.images.models import Image
from crowd.ml import queries, urgency
from crowd.ml.models import CandidateJob, CandidateMark, Candidates, Model, Serving
from crowd.ml.rules import may_have_candidates
from crowd.ml.watch import arrivals
from crowd.policy import Policy, Stage
from crowd.tasks.claim_queries import SETTLED_AFTER
from crowd.tasks.models import Label, Task
from crowd.tasks.queries import ASSIGNED, READY

# Rows of the queue that are read at a time: few at first, since most often the first ones are wanted.
LEAST_PAGE = 32
PAGE = 512
# Tasks that are taken at once.
MOST_TAKEN = 1000
# A job worker that was silent for so long is taken for dead.
HOLD = timedelta(minutes=3)
# After a failure that has been told: seconds until the next attempt, times the attempts so far squared.
PAUSE_SECONDS = 30
MOST_ERROR = 500
# How often what was claimed before and came back is looked through, and what is kept by assignments.
RETURNED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task that wants candidates. `sha256` is of its image's original; pixels are the working image's.

    `regions`: the current segmentation's, where the stage needs them; `picture`: the working image's where it
    was made anew.
    """

    task_id: int
    image_id: int
    sha256: bytes
    width: int
    height: int
    regions: Sequence[Mapping[str, Any]] = ()
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Tasks taken for the model that served at that moment; `model` is its row of `queries.served`."""

    model: AnyRow
    tasks: Sequence[Wanted]


@dataclass(slots=True)
class Returned:
    """How far this process has looked through what came back, by model; and when it last did (monotonic).

    The same of what assignments keep: `kept_beyond` is when the last task looked at was opened, and its id.
    """

    looked_at: dict[int, float] = field(default_factory=dict)
    beyond: dict[int, tuple[int, int]] = field(default_factory=dict)
    kept_at: dict[int, float] = field(default_factory=dict)
    kept_beyond: dict[int, tuple[datetime, int]] = field(default_factory=dict)


def take(
    conn: Connection, stage: Stage, limit: int, policy: Policy, now: datetime, returned: Returned
) -> Taken | None:
    """Up to `limit` tasks whose candidates the caller is to make within HOLD; None if no model serves."""
    model = _lock(conn, stage)
    if model is None:
        return None
    limit = min(limit, MOST_TAKEN)
    ids = _due(conn, model.model_id, limit, policy, now)
    if not ids:
        ids = _from_returned(conn, model.model_id, stage, limit, returned)
        # Beside an assignment's tasks the others go on: nobody knows whose people come first.
        ids += _from_assigned(conn, model.model_id, stage, (limit - len(ids) + 1) // 2, returned)
        # What came back may stand behind the mark as well: with jobs it is not found again.
        _give_jobs(conn, model.model_id, ids, now)
        new = _from_queue(conn, model.model_id, stage, limit - len(ids), now)
        _give_jobs(conn, model.model_id, new, now)
        ids += new
    return Taken(model, _wanted(conn, stage, ids))


def finish(
    conn: Connection,
    model_id: int,
    made: Mapping[int, Any],
    failed: Mapping[int, str],
    policy: Policy,
    now: datetime,
) -> None:
    """Keep what was made (task → candidates), and note what could not be (task → why)."""
    if made:
        rows = [
            {"task_id": task_id, "model_id": model_id, "value": value, "made_at": now}
            for task_id, value in made.items()
        ]
        # Somebody who was taken for dead may have been faster: the first ones stay.
        conn.execute(INSERT[conn.dialect.name](Candidates).on_conflict_do_nothing(), rows)
        conn.execute(
            sa.delete(CandidateJob).where(
                CandidateJob.model_id == model_id, CandidateJob.task_id.in_(sorted(made))
            )
        )
        stage = conn.execute(sa.select(Model.stage).where(Model.id == model_id)).scalar_one()
        urgency.bring_forward(conn, stage, model_id, made, policy)
        arrivals.count(conn, model_id, made)
    for task_id, error in sorted(failed.items()):
        _note_failure(conn, model_id, task_id, error, policy, now)


def give_back(conn: Connection, model_id: int, task_ids: Sequence[int], now: datetime) -> None:
    """Let the next job worker go on with these at once; they were not tried."""
    conn.execute(
        sa.update(CandidateJob)
        .where(CandidateJob.model_id == model_id, CandidateJob.task_id.in_(sorted(task_ids)))
        .values(due_at=now, attempts=CandidateJob.attempts - 1)
    )


def try_again(conn: Connection, model_id: int, now: datetime) -> int:
    """Let those that were given up be tried again. Returns how many there are."""
    return conn.execute(
        sa.update(CandidateJob)
        .where(CandidateJob.model_id == model_id, CandidateJob.due_at.is_(None))
        .values(due_at=now, attempts=0)
    ).rowcount


def given_up(conn: Connection, model_id: int, limit: int) -> Sequence[AnyRow]:
    """Tasks for which nobody tries any more, and why."""
    return conn.execute(
        sa.select(CandidateJob.task_id, CandidateJob.attempts, CandidateJob.error)
        .where(CandidateJob.model_id == model_id, CandidateJob.due_at.is_(None))
        .order_by(CandidateJob.task_id)
        .limit(limit)
    ).all()


def is_pending(conn: Connection, model_id: int, stage: Stage, now: datetime) -> bool:
    """Whether there seems to be something to take; read without a lock, and maybe wrong for a moment."""
    due = sa.select(CandidateJob.task_id).where(CandidateJob.model_id == model_id, CandidateJob.due_at <= now)
    if conn.execute(due.limit(1)).first() is not None:
        return True
    if _look(conn, model_id, stage, 1).found:
        return True
    pages = _assigned_pages(conn, stage, None)
    return any(_without_candidates(conn, model_id, stage, rows) for rows in pages)


def _lock(conn: Connection, stage: Stage) -> AnyRow | None:
    # Who takes and who promotes come one after the other: a mark is moved by its model's takers alone.
    conn.execute(sa.select(Serving.stage).where(Serving.stage == stage).with_for_update())
    row = conn.execute(queries.SERVED.where(Serving.stage == stage)).one_or_none()
    return None if row is None or row.model_id is None else row


def _due(conn: Connection, model_id: int, limit: int, policy: Policy, now: datetime) -> list[int]:
    """Jobs whose taker has died, or that failed a while ago.

    One that killed its taker may do so again: from the second attempt on each is tried alone, and after
    the last one nobody tries.
    """
    due = conn.execute(
        sa.select(CandidateJob.task_id, CandidateJob.attempts, CandidateJob.error)
        .where(CandidateJob.model_id == model_id, CandidateJob.due_at <= now)
        .order_by(CandidateJob.due_at, CandidateJob.task_id)
        .limit(limit)
    ).all()
    spent = [job.task_id for job in due if job.attempts >= policy.candidate_attempts]
    _set(conn, model_id, spent, due_at=None, error=sa.func.coalesce(CandidateJob.error, "nobody came back"))
    left = [job for job in due if job.attempts < policy.candidate_attempts]
    taken = [job.task_id for job in left if job.attempts == 0] or [job.task_id for job in left[:1]]
    _set(conn, model_id, taken, due_at=now + HOLD, attempts=CandidateJob.attempts + 1)
    return taken


def _set(conn: Connection, model_id: int, task_ids: Sequence[int], **values: Any) -> None:
    if task_ids:
        conn.execute(
            sa.update(CandidateJob)
            .where(CandidateJob.model_id == model_id, CandidateJob.task_id.in_(task_ids))
            .values(**values)
        )


def _from_returned(
    conn: Connection, model_id: int, stage: Stage, limit: int, returned: Returned
) -> list[int]:
    """Tasks that were claimed before they had candidates and came back, maybe in front of the mark.

    A page of them every few seconds, so that a great many of them cost no taker much.
    """
    if time.monotonic() - returned.looked_at.get(model_id, float("-inf")) < RETURNED_SECONDS:
        return []
    returned.looked_at[model_id] = time.monotonic()
    priority, after = returned.beyond.get(model_id, (-(2**15), 0))
    place = sa.tuple_(Task.priority, Task.id) > sa.tuple_(sa.literal(priority), sa.literal(after))
    rows = conn.execute(_queue(stage, PAGE).where(Task.token > sa.literal_column("0"), place)).all()
    if len(rows) == PAGE:
        returned.beyond[model_id] = rows[-1].priority, rows[-1].id
    else:
        returned.beyond.pop(model_id, None)
    return _without_candidates(conn, model_id, stage, rows)[:limit]


def _from_assigned(
    conn: Connection, model_id: int, stage: Stage, limit: int, returned: Returned
) -> list[int]:
    """Tasks that assignments keep: they are in no queue, and no mark tells how far anybody has come.

    A look goes on where the last one ended, and after the last of them there is none for a few seconds.
    """
    if not limit or time.monotonic() - returned.kept_at.get(model_id, float("-inf")) < RETURNED_SECONDS:
        return []
    for rows in _assigned_pages(conn, stage, returned.kept_beyond.get(model_id)):
        wanting = _without_candidates(conn, model_id, stage, rows)[:limit]
        # Only what is taken counts as looked at when there is more than was asked for.
        is_full = len(wanting) == limit
        last = next(row for row in rows if row.id == wanting[-1]) if is_full else rows[-1]
        returned.kept_beyond[model_id] = last.opened_at, last.id
        if wanting:
            return wanting
    returned.kept_beyond.pop(model_id, None)
    returned.kept_at[model_id] = time.monotonic()
    return []


def _assigned_pages(
    conn: Connection, stage: Stage, beyond: tuple[datetime, int] | None
) -> Iterator[Sequence[AnyRow]]:
    """The stage's tasks that assignments keep, the oldest first, a page at a time."""
    while True:
        query = sa.select(*_QUEUED).where(
            Task.state == ASSIGNED, Task.stage == stage, Task.bounced == sa.false()
        )
        if beyond is not None:
            opened_at = sa.literal(beyond[0], Task.opened_at.type)
            query = query.where(sa.tuple_(Task.opened_at, Task.id) > sa.tuple_(opened_at, beyond[1]))
        rows = conn.execute(query.order_by(Task.opened_at, Task.id).limit(PAGE)).all()
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        beyond = rows[-1].opened_at, rows[-1].id


@dataclass(slots=True)
class _Look:
    """What a look behind the marks found, and the last task looked at that is settled, by priority."""

    found: list[int] = field(default_factory=list)
    settled: dict[int, int] = field(default_factory=dict)


def _from_queue(conn: Connection, model_id: int, stage: Stage, limit: int, now: datetime) -> list[int]:
    """The first tasks behind the marks, by priority; each mark is moved beyond what was looked at."""
    look = _look(conn, model_id, stage, limit, now)
    for priority, task_id in look.settled.items():
        _move_mark(conn, model_id, priority, task_id)
    return look.found


def _look(conn: Connection, model_id: int, stage: Stage, limit: int, now: datetime | None = None) -> _Look:
    look = _Look()
    marks = _marks(conn, model_id)
    ahead: list[sa.ColumnElement[bool]] = []
    while len(look.found) < limit:
        head = conn.execute(_queue(stage, 1).where(*ahead)).first()
        if head is None:
            break
        priority = head.priority
        ahead = [Task.priority > priority]
        _look_at(conn, model_id, stage, look, limit, (priority, marks.get(priority, 0)), now)
    return look


def _look_at(
    conn: Connection,
    model_id: int,
    stage: Stage,
    look: _Look,
    limit: int,
    mark: tuple[int, int],
    now: datetime | None,
) -> None:
    priority, position = mark
    page = min(PAGE, max(2 * limit, LEAST_PAGE))
    while len(look.found) < limit:
        rows = conn.execute(_queue(stage, page).where(Task.priority == priority, Task.id > position)).all()
        wanting = _without_candidates(conn, model_id, stage, rows)[: limit - len(look.found)]
        look.found += wanting
        # Only what is taken counts as looked at when there is more than was asked for.
        is_full = len(look.found) == limit
        position = wanting[-1] if is_full else (rows[-1].id if rows else position)
        if now is not None:
            # Before a young task one may appear whose transaction commits late, with a smaller id.
            settled = [row.id for row in rows if row.id <= position and row.opened_at < now - SETTLED_AFTER]
            if settled:
                look.settled[priority] = settled[-1]
        if len(rows) < page:
            return
        page = PAGE


# What is asked of a task that may want candidates.
_QUEUED = (Task.id, Task.image_id, Task.round, Task.seat, Task.cause, Task.priority, Task.opened_at)


def _queue(stage: Stage, limit: int) -> AnySelect:
    """New ready tasks of a stage in the order of claims, read without a lock: claims go on meanwhile."""
    return (
        sa.select(*_QUEUED)
        .where(
            Task.state == READY,
            Task.reserved_for.is_(None),
            Task.stage == stage,
            Task.bounced == sa.false(),
        )
        .order_by(Task.priority, Task.id)
        .limit(limit)
    )


def _without_candidates(conn: Connection, model_id: int, stage: Stage, rows: Sequence[AnyRow]) -> list[int]:
    """Those of a page that get candidates and have neither these nor a job.

    Asked by key for one page: joined to the queue, a planner might one day read all candidates there are.
    """
    ids = [row.id for row in rows]
    if not ids:
        return []
    # Jobs first: whoever is done writes candidates and removes the job at once, without our lock. Asked the
    # other way round, a task that is finished in between would seem to have neither.
    known = {*_among(conn, CandidateJob.task_id, CandidateJob.model_id == model_id, ids)}
    known |= {*_among(conn, Candidates.task_id, Candidates.model_id == model_id, ids)}
    later = [row.image_id for row in rows if row.round > 1]
    labelled = set(_among(conn, Label.image_id, Label.stage == stage, later)) if later else set()
    return [
        row.id
        for row in rows
        if row.id not in known
        and may_have_candidates(stage, row.seat, row.cause, has_labels=row.image_id in labelled)
    ]


def _among(
    conn: Connection, column: Any, condition: sa.ColumnElement[bool], values: Sequence[int]
) -> Sequence[int]:
    return conn.execute(sa.select(column).where(condition, column.in_(values))).scalars().all()


def _marks(conn: Connection, model_id: int) -> dict[int, int]:
    rows = conn.execute(
        sa.select(CandidateMark.priority, CandidateMark.task_id).where(CandidateMark.model_id == model_id)
    ).all()
    return {row.priority: row.task_id for row in rows}


def _move_mark(conn: Connection, model_id: int, priority: int, task_id: int) -> None:
    insert = INSERT[conn.dialect.name](CandidateMark)
    conn.execute(
        insert.values(model_id=model_id, priority=priority, task_id=task_id).on_conflict_do_update(
            index_elements=["model_id", "priority"], set_={"task_id": insert.excluded.task_id}
        )
    )


def _give_jobs(conn: Connection, model_id: int, ids: Sequence[int], now: datetime) -> None:
    if ids:
        due_at = sa.literal(now + HOLD, CandidateJob.due_at.type)
        attempts: sa.ColumnElement[int] = sa.literal_column("1")
        jobs: AnySelect = sa.select(Task.id, sa.literal(model_id, Task.id.type), due_at, attempts)
        columns = ["task_id", "model_id", "due_at", "attempts"]
        conn.execute(sa.insert(CandidateJob).from_select(columns, jobs.where(Task.id.in_(ids))))


def _wanted(conn: Connection, stage: Stage, ids: Sequence[int]) -> list[Wanted]:
    if not ids:
        return []
    rows = conn.execute(
        sa.select(Task.id, Task.image_id, Image.sha256, Image.width, Image.height, Image.picture)
        .join_from(Task, Image, Image.id == Task.image_id)
        .where(Task.id.in_(ids))
    ).all()
    regions = _regions(conn, [row.image_id for row in rows]) if stage is Stage.ATTRIBUTES else {}
    by_id = {
        row.id: Wanted(
            row.id,
            row.image_id,
            row.sha256,
            row.width,
            row.height,
            regions.get(row.image_id, ()),
            row.picture,
        )
        for row in rows
    }
    return [by_id[task_id] for task_id in ids]


def _regions(conn: Connection, image_ids: Sequence[int]) -> dict[int, Any]:
    """The regions of each image's latest segmentation."""
    rows = conn.execute(
        sa.select(Label.image_id, Label.value)
        .where(Label.image_id.in_(image_ids), Label.stage == Stage.SEGMENTATION)
        .order_by(Label.id)
    ).all()
    return {row.image_id: row.value["regions"] for row in rows}


def _note_failure(
    conn: Connection, model_id: int, task_id: int, error: str, policy: Policy, now: datetime
) -> None:
    job = sa.and_(CandidateJob.model_id == model_id, CandidateJob.task_id == task_id)
    attempts = conn.execute(sa.select(CandidateJob.attempts).where(job)).scalar_one_or_none()
    if attempts is None:
        return
    again = now + timedelta(seconds=PAUSE_SECONDS * attempts**2)
    due_at = again if attempts < policy.candidate_attempts else None
    conn.execute(sa.update(CandidateJob).where(job).values(due_at=due_at, error=error[:MOST_ERROR]))
