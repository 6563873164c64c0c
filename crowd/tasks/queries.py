"""All SQL of the task engine, each statement with the sentence that says why it is safe.

Everything here is SQLAlchemy Core on a Connection whose transaction the caller's edge opened.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect, literal
from crowd.images.models import Image, ImageEvent, What
from crowd.policy import Grade, Stage
from crowd.tasks.flow import LABELLING, Cause
from crowd.tasks.models import (
    PART,
    TASK_STATE,
    Claim,
    Kind,
    Label,
    Miss,
    Part,
    Participation,
    Standing,
    Submission,
    Task,
    TaskState,
)

READY, LEASED, DONE, CLOSED, STUCK = (literal(state, TASK_STATE) for state in TaskState)

# Whoever gave a verdict does not label the image, and whoever had another part in it does
# not review it; a second review may be repeated in a later round, other reviews at any time.
_OWN_PART: dict[Stage, Part] = {
    Stage.FIRST_REVIEW: Part.FIRST_REVIEW,
    Stage.SECOND_REVIEW: Part.SECOND_REVIEW,
    Stage.ADJUDICATION: Part.ADJUDICATION,
}

REAP_BATCH = 500

# Made once: an alias copies every column, and a claim would otherwise spend most of its time on that.
_SAME = sa.alias(Task.__table__, "same")


def lock_worker(conn: Connection, worker_id: int) -> AnyRow:
    """The person's grade and suspension, locked: two claims of one person come one after the other."""
    return conn.execute(
        sa.select(Worker.id, Worker.grade, Worker.suspended_at)
        .where(Worker.id == worker_id)
        .with_for_update(key_share=True)
    ).one()


def is_suspended(conn: Connection, worker_id: int) -> bool:
    """Whether the person is suspended at this moment."""
    return conn.execute(sa.select(Worker.suspended_at).where(Worker.id == worker_id)).scalar_one() is not None


def lock_image(conn: Connection, image_id: int) -> AnyRow | None:
    """The image, locked: every move of one image happens after the one before it."""
    return conn.execute(
        sa.select(
            Image.id,
            Image.state,
            Image.round,
            Image.priority,
            Image.width,
            Image.height,
            Image.file_name,
        )
        .where(Image.id == image_id)
        .with_for_update(key_share=True)
    ).one_or_none()


def task_row(conn: Connection, task_id: int) -> AnyRow | None:
    """The task as it is now, unlocked."""
    return conn.execute(sa.select(*Task.__table__.columns).where(Task.id == task_id)).one_or_none()


def lock_task(conn: Connection, task_id: int) -> AnyRow:
    """The task, locked against the reaper, a claim, and its holder's other requests."""
    return conn.execute(
        sa.select(*Task.__table__.columns).where(Task.id == task_id).with_for_update(key_share=True)
    ).one()


def held(conn: Connection, worker_id: int, now: datetime, *, batch: bool) -> int:
    """How many unexpired leases the person holds (in the grid, or outside of it)."""
    return conn.execute(
        sa.select(sa.func.count())
        .select_from(Task)
        .where(
            Task.state == LEASED,
            Task.worker_id == worker_id,
            Task.lease_until > now,
            Task.batch == batch,
        )
    ).scalar_one()


def leases_of(conn: Connection, worker_id: int, now: datetime) -> Sequence[AnyRow]:
    """The person's unexpired leases, oldest task first."""
    return conn.execute(
        sa.select(Task.id, Task.stage, Task.token, Task.lease_until)
        .where(Task.state == LEASED, Task.worker_id == worker_id, Task.lease_until > now)
        .order_by(Task.id)
    ).all()


def may_not(worker_id: sa.ColumnElement[int] | int, stage: Stage) -> list[sa.ColumnElement[bool]]:
    """Conditions on a task of `stage` under which the person may not take it (flow.md, "Who may not")."""
    parts = sa.select(Participation.image_id).where(
        Participation.image_id == Task.image_id, Participation.worker_id == worker_id
    )
    own = _OWN_PART.get(stage)
    other_part = (
        Participation.part != literal(Part.LABELLED, PART)
        if own is None
        else Participation.part != literal(own, PART)
    )
    return [
        sa.exists(parts.where(other_part)),
        sa.exists(
            sa.select(_SAME.c.id).where(
                _SAME.c.image_id == Task.image_id,
                _SAME.c.stage == Task.stage,
                _SAME.c.round == Task.round,
                _SAME.c.worker_id == worker_id,
                _SAME.c.state.in_((LEASED, DONE)),
            )
        ),
        sa.and_(Task.excluded_id.is_not(None), Task.excluded_id == worker_id),
    ]


def _skipped(
    worker_id: sa.ColumnElement[int] | int, now: sa.ColumnElement[datetime] | datetime
) -> sa.ColumnElement[bool]:
    return sa.exists(
        sa.select(Miss.task_id).where(
            Miss.task_id == Task.id, Miss.worker_id == worker_id, Miss.skip_until > now
        )
    )


def find_reserved(conn: Connection, worker_id: int, stages: Sequence[Stage], now: datetime) -> AnyRow | None:
    """The oldest rework that waits for this person."""
    return conn.execute(
        sa.select(Task.id, Task.image_id)
        .where(
            Task.state == READY,
            Task.reserved_for == worker_id,
            Task.reserved_until > now,
            Task.stage.in_(stages),
            ~_skipped(worker_id, now),
        )
        .order_by(Task.id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()


def find_ready(
    conn: Connection,
    worker_id: int,
    stage: Stage,
    *,
    bounced: bool,
    now: datetime,
    limit: int = 1,
    beyond_images: Collection[int] = (),
) -> Sequence[AnyRow]:
    """The first ready tasks of one stage that this person may take.

    SKIP LOCKED: a task that somebody else is taking at this moment is passed over, so nobody
    waits and nobody gets it twice. One statement a stage and lane, so that the partial index
    is read from its head and never sorted.
    """
    statement = _ready_for(stage, bounced)
    if beyond_images:
        statement = statement.where(Task.image_id.not_in(beyond_images))
    return conn.execute(statement, {"asking": worker_id, "at_now": now, "at_most": limit}).all()


@cache
def _ready_for(stage: Stage, bounced: bool) -> AnySelect:
    """The statement of `find_ready`, built once: building it takes many times longer than running it."""
    worker_id = sa.bindparam("asking", type_=Task.worker_id.type)
    now = sa.bindparam("at_now", type_=Miss.skip_until.type)
    return (
        sa.select(Task.id, Task.image_id)
        .where(
            Task.state == READY,
            Task.reserved_for.is_(None),
            Task.stage == stage,
            Task.bounced == (sa.true() if bounced else sa.false()),
            *(~condition for condition in may_not(worker_id, stage)),
            ~_skipped(worker_id, now),
        )
        .order_by(Task.priority, Task.id)
        .limit(sa.bindparam("at_most", type_=sa.Integer))
        .with_for_update(skip_locked=True, key_share=True)
    )


def take(
    conn: Connection,
    task_id: int,
    worker_id: int,
    taxonomy_id: int,
    now: datetime,
    until: datetime,
    *,
    batch: bool,
) -> AnyRow | None:
    """Ready → leased, with the next token. None when the task is no longer ready."""
    task = conn.execute(
        sa.update(Task)
        .where(Task.id == task_id, Task.state == READY)
        .values(
            state=TaskState.LEASED,
            worker_id=worker_id,
            lease_until=until,
            token=Task.token + 1,
            batch=batch,
            taxonomy_id=taxonomy_id,
        )
        .returning(*Task.__table__.columns)
    ).one_or_none()
    if task is not None:
        conn.execute(sa.insert(Claim).values(task_id=task_id, token=task.token, worker_id=worker_id, at=now))
    return task


def claimant(conn: Connection, task_id: int, token: int) -> int | None:
    """Who was given this token of the task."""
    return conn.execute(
        sa.select(Claim.worker_id).where(Claim.task_id == task_id, Claim.token == token)
    ).scalar_one_or_none()


def extend(conn: Connection, task_id: int, token: int, worker_id: int, until: datetime) -> bool:
    """Keep or win back a lease, as long as the token is the newest and nobody else holds the task."""
    return (
        conn.execute(
            sa.update(Task)
            .where(
                Task.id == task_id,
                Task.token == token,
                Task.state.in_((LEASED, READY, STUCK)),
            )
            .values(state=TaskState.LEASED, worker_id=worker_id, lease_until=until)
        ).rowcount
        == 1
    )


def put_back(conn: Connection, task_id: int, token: int) -> bool:
    """Leased (or expired) → ready where it stood; the token moves on, so the old one is spent.

    What is stuck meanwhile stays stuck.
    """
    return (
        conn.execute(
            sa.update(Task)
            .where(Task.id == task_id, Task.token == token, Task.state.in_((LEASED, READY, STUCK)))
            .values(
                state=sa.case((Task.state == STUCK, STUCK), else_=READY),
                worker_id=None,
                lease_until=None,
                batch=False,
                reserved_for=None,
                reserved_until=None,
                token=Task.token + 1,
            )
        ).rowcount
        == 1
    )


def expired(conn: Connection, now: datetime, limit: int = REAP_BATCH) -> Sequence[AnyRow]:
    """Leases that have run out, locked; SKIP LOCKED lets two reapers share the work."""
    return conn.execute(
        sa.select(Task.id, Task.token, Task.worker_id)
        .where(Task.state == LEASED, Task.lease_until <= now)
        .order_by(Task.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()


def lapse(conn: Connection, task_id: int, token: int, now: datetime) -> bool:
    """Leased and expired → ready.

    The token stays, so that a late answer still counts; `batch` too, for a late heartbeat.
    """
    return (
        conn.execute(
            sa.update(Task)
            .where(
                Task.id == task_id,
                Task.token == token,
                Task.state == LEASED,
                Task.lease_until <= now,
            )
            .values(state=TaskState.READY, worker_id=None, lease_until=None)
        ).rowcount
        == 1
    )


def end_reservations(conn: Connection, now: datetime) -> int:
    """Rework whose author did not come is opened to everybody allowed."""
    return conn.execute(
        sa.update(Task)
        .where(
            Task.state == READY,
            Task.reserved_for.is_not(None),
            Task.reserved_until <= now,
        )
        .values(reserved_for=None, reserved_until=None)
    ).rowcount


def note_miss(conn: Connection, task_id: int, worker_id: int, skip_until: datetime | None) -> int:
    """Remember that the person let the task go. Returns how many different people have by now."""
    changed = conn.execute(
        sa.update(Miss)
        .where(Miss.task_id == task_id, Miss.worker_id == worker_id)
        .values(
            skip_until=sa.func.coalesce(
                sa.bindparam("until", skip_until, Miss.skip_until.type), Miss.skip_until
            )
        )
    ).rowcount
    if not changed:
        conn.execute(sa.insert(Miss).values(task_id=task_id, worker_id=worker_id, skip_until=skip_until))
    return conn.execute(
        sa.select(sa.func.count()).select_from(Miss).where(Miss.task_id == task_id)
    ).scalar_one()


def forget_misses(conn: Connection, task_id: int) -> None:
    """A task that got its answer is stuck no longer."""
    conn.execute(sa.delete(Miss).where(Miss.task_id == task_id))


def mark_stuck(conn: Connection, task_id: int) -> None:
    """Ready → stuck: out of the queue, shown to admins."""
    conn.execute(sa.update(Task).where(Task.id == task_id, Task.state == READY).values(state=TaskState.STUCK))


def finish(conn: Connection, task_id: int, token: int, worker_id: int) -> bool:
    """→ done, by the newest token only; also when the lease ran out and nobody else has claimed."""
    return (
        conn.execute(
            sa.update(Task)
            .where(
                Task.id == task_id,
                Task.token == token,
                Task.state.in_((LEASED, READY, STUCK)),
            )
            .values(
                state=TaskState.DONE,
                worker_id=worker_id,
                lease_until=None,
                batch=False,
                reserved_for=None,
                reserved_until=None,
            )
        ).rowcount
        == 1
    )


def close_open(conn: Connection, image_id: int) -> int:
    """Every open task of the image → closed; whoever holds one finds out by `superseded`."""
    return conn.execute(
        sa.update(Task)
        .where(Task.image_id == image_id, Task.state.in_((READY, LEASED, STUCK)))
        .values(
            state=TaskState.CLOSED,
            lease_until=None,
            reserved_for=None,
            reserved_until=None,
            batch=False,
        )
    ).rowcount


def open_task(
    conn: Connection,
    image: AnyRow,
    stage: Stage,
    image_round: int,
    now: datetime,
    *,
    bounced: bool = False,
    cause: Cause | None = None,
    disputed: Stage | None = None,
    excluded_id: int | None = None,
    reserved_for: int | None = None,
    reserved_until: datetime | None = None,
) -> int:
    """A new seat, ready. The seat's number is the next one of its stage and round."""
    taken = (
        sa.select(sa.func.coalesce(sa.func.max(Task.seat), 0) + 1)
        .where(Task.image_id == image.id, Task.stage == stage, Task.round == image_round)
        .scalar_subquery()
    )
    task_id: int = conn.execute(
        sa.insert(Task)
        .values(
            image_id=image.id,
            stage=stage,
            round=image_round,
            seat=taken,
            state=TaskState.READY,
            bounced=bounced,
            batch=False,
            priority=image.priority,
            cause=cause,
            disputed=disputed,
            token=0,
            reserved_for=reserved_for,
            reserved_until=reserved_until,
            excluded_id=excluded_id,
            opened_at=now,
        )
        .returning(Task.id)
    ).scalar_one()
    return task_id


def earlier_answer(conn: Connection, task_id: int, token: int) -> AnyRow | None:
    """What was answered with this token before, whether it counted or not."""
    return conn.execute(
        sa.select(Submission.id, Submission.standing, Submission.worker_id).where(
            Submission.task_id == task_id, Submission.token == token
        )
    ).one_or_none()


def add_submission(
    conn: Connection,
    task: AnyRow,
    *,
    token: int,
    worker_id: int,
    kind: Kind,
    standing: Standing,
    result: Any,
    seconds: float | None,
    at: datetime,
) -> None:
    """Keep an answer for good."""
    conn.execute(
        sa.insert(Submission).values(
            task_id=task.id,
            token=token,
            image_id=task.image_id,
            stage=task.stage,
            round=task.round,
            worker_id=worker_id,
            kind=kind,
            standing=standing,
            # What came too late is kept unchecked, and may be null.
            result=sa.JSON.NULL if result is None else result,
            seconds=seconds,
            at=at,
        )
    )


def counted_answers(conn: Connection, image_id: int, stage: Stage, image_round: int) -> Sequence[AnyRow]:
    """The answers that counted at one stage of one round, oldest first."""
    return conn.execute(
        sa.select(Submission.worker_id, Submission.stage, Submission.result, Submission.kind)
        .where(
            Submission.image_id == image_id,
            Submission.stage == stage,
            Submission.round == image_round,
            Submission.standing == Standing.COUNTED,
        )
        .order_by(Submission.id)
    ).all()


def add_participation(conn: Connection, image_id: int, worker_id: int, part: Part, image_round: int) -> None:
    """Note the person's part, once."""
    row = (
        Participation.image_id == image_id,
        Participation.worker_id == worker_id,
        Participation.part == part,
        Participation.round == image_round,
    )
    # The image's lock is held, so nobody adds the same row in between.
    if conn.execute(sa.select(Participation.image_id).where(*row)).one_or_none() is None:
        conn.execute(
            sa.insert(Participation).values(
                image_id=image_id, worker_id=worker_id, part=part, round=image_round
            )
        )


def has_part(conn: Connection, image_id: int, worker_id: int) -> bool:
    """Whether the person ever held a task of the image or had a part in it."""
    return (
        conn.execute(
            sa.select(Claim.task_id)
            .join(Task, Task.id == Claim.task_id)
            .where(Task.image_id == image_id, Claim.worker_id == worker_id)
            .limit(1)
        ).one_or_none()
        is not None
    )


def add_label(
    conn: Connection,
    image_id: int,
    stage: Stage,
    image_round: int,
    worker_id: int | None,
    taxonomy_id: int,
    value: Any,
    at: datetime,
) -> None:
    """The stage's labels from now on."""
    conn.execute(
        sa.insert(Label).values(
            image_id=image_id,
            stage=stage,
            round=image_round,
            worker_id=worker_id,
            taxonomy_id=taxonomy_id,
            value=value,
            at=at,
        )
    )


def label_rows(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """Every version of the image's labels, oldest first."""
    return conn.execute(
        sa.select(Label.id, Label.stage, Label.worker_id, Label.value, Label.round)
        .where(Label.image_id == image_id)
        .order_by(Label.id)
    ).all()


def bounces_to(conn: Connection, image_id: int, target: Stage) -> int:
    """How often the image was bounced to `target` since an admin last reopened it there."""
    reopened = (
        sa.select(sa.func.coalesce(sa.func.max(ImageEvent.id), 0))
        .where(
            ImageEvent.image_id == image_id,
            ImageEvent.what == What.REOPENED,
            ImageEvent.target == target,
        )
        .scalar_subquery()
    )
    return conn.execute(
        sa.select(sa.func.count())
        .select_from(ImageEvent)
        .where(
            ImageEvent.image_id == image_id,
            ImageEvent.what == What.BOUNCED,
            ImageEvent.target == target,
            ImageEvent.id > reopened,
        )
    ).scalar_one()


def author_of(conn: Connection, image_id: int, target: Stage) -> int | None:
    """Who gave the answer that a bounce to `target` rejects; None when several people settled it."""
    if target in LABELLING:
        return conn.execute(
            sa.select(Label.worker_id)
            .where(Label.image_id == image_id, Label.stage == target)
            .order_by(Label.id.desc())
            .limit(1)
        ).scalar_one_or_none()
    return conn.execute(
        sa.select(Submission.worker_id)
        .where(
            Submission.image_id == image_id,
            Submission.stage == target,
            Submission.standing == Standing.COUNTED,
        )
        .order_by(Submission.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def may_be_reserved_for(conn: Connection, worker_id: int, grades: Collection[Grade]) -> bool:
    """Whether rework may wait for this person: in good standing and still of the grade."""
    return (
        conn.execute(
            sa.select(Worker.id).where(
                Worker.id == worker_id,
                Worker.suspended_at.is_(None),
                Worker.erased_at.is_(None),
                Worker.grade.in_(sorted(grades)),
            )
        ).one_or_none()
        is not None
    )


def feedback_rows(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """The bounces and disputes of an image with their reasons, oldest first."""
    return conn.execute(
        sa.select(ImageEvent.what, ImageEvent.at, ImageEvent.why, ImageEvent.target)
        .where(
            ImageEvent.image_id == image_id,
            ImageEvent.what.in_((What.BOUNCED, What.DISPUTED)),
        )
        .order_by(ImageEvent.id)
    ).all()


def somebody_holds(conn: Connection, worker_id: int, stages: Sequence[Stage], now: datetime) -> bool:
    """Whether work this person could do is leased to or reserved for somebody else."""
    for stage in stages:
        allowed = [~condition for condition in may_not(worker_id, stage)]
        leased = sa.select(Task.id).where(
            Task.state == LEASED,
            Task.stage == stage,
            Task.worker_id != worker_id,
            *allowed,
        )
        reserved = sa.select(Task.id).where(
            Task.state == READY,
            Task.stage == stage,
            Task.reserved_for.is_not(None),
            Task.reserved_for != worker_id,
            *allowed,
        )
        for statement in (leased, reserved):
            if conn.execute(statement.limit(1)).first() is not None:
                return True
    return False


def end_leases_of(conn: Connection, worker_id: int) -> list[int]:
    """Every lease of the person ends; the tokens are spent. Returns the tasks."""
    return list(
        conn.execute(
            sa.update(Task)
            .where(Task.state == LEASED, Task.worker_id == worker_id)
            .values(
                state=TaskState.READY,
                worker_id=None,
                lease_until=None,
                batch=False,
                token=Task.token + 1,
            )
            .returning(Task.id)
        ).scalars()
    )


def end_reservations_of(conn: Connection, worker_id: int, kept: Collection[Stage]) -> None:
    """Rework no longer waits for this person, but at the stages `kept`."""
    statement = sa.update(Task).where(Task.state.in_((READY, LEASED)), Task.reserved_for == worker_id)
    if kept:
        statement = statement.where(Task.stage.not_in(list(kept)))
    conn.execute(statement.values(reserved_for=None, reserved_until=None))


def image_size(conn: Connection, image_id: int) -> AnyRow:
    """Width and height of the working image, in pixels."""
    return conn.execute(sa.select(Image.width, Image.height).where(Image.id == image_id)).one()


def unusable_codes(conn: Connection, image_id: int) -> list[str]:
    """Why people called the image unusable, oldest first."""
    results = conn.execute(
        sa.select(Submission.result)
        .where(
            Submission.image_id == image_id,
            Submission.stage.in_(LABELLING),
            Submission.standing == Standing.COUNTED,
        )
        .order_by(Submission.id)
    ).scalars()
    return [result["unusable"] for result in results if "unusable" in result]


def feedback_about(conn: Connection, worker_id: int, before: int | None, limit: int) -> Sequence[AnyRow]:
    """The bounces of this person's answers, newest first."""
    statement = (
        sa.select(ImageEvent.id, ImageEvent.image_id, ImageEvent.at, ImageEvent.target, ImageEvent.why)
        .where(ImageEvent.about_id == worker_id, ImageEvent.what == What.BOUNCED)
        .order_by(ImageEvent.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(ImageEvent.id < before)
    return conn.execute(statement).all()
