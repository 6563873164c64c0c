"""All SQL of shadow seats: where one may stand unnoticed, how it is taken, and what it looks like later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, AnySelect, literal
from crowd.core.statements import Statement
from crowd.images.models import IMAGE_STATE, Image, ImageEvent, ImageState, What
from crowd.policy import Stage
from crowd.tasks.flow import Cause
from crowd.tasks.models import TASK_STATE, Claim, Label, Purpose, Standing, Submission, Task, TaskState
from crowd.tasks.queries import LEASED, READY, SLOT, WORK

SPARE = literal(ImageState.SPARE, IMAGE_STATE)
SHADOW = literal(ImageState.SHADOW, IMAGE_STATE)

# Of the person's last claims so many are looked through for one of the stage.
LOOKED_BACK = 20
# No slot lies farther from the task it stands in for (ids).
FARTHEST = 5000
USUAL = 1000
PARTS = 1000

_WHO = sa.bindparam("who", type_=Task.worker_id.type)
_STAGE = sa.bindparam("at_stage", type_=Task.stage.type)
_BEFORE = sa.bindparam("before", type_=Task.id.type)
_THROWN = sa.bindparam("thrown", type_=sa.BigInteger)
_PRIORITY = sa.bindparam("at_priority", type_=Task.priority.type)


def a_slot(*, patient: bool) -> AnySelect:
    """`slot_id` and `ghost_id` of a slot before a task found, locked; see `slot_place` for its values.

    Behind all that the person was given at the stage, so that to them it comes in its order; unless
    `patient` is False. Anywhere in between: the one next to the task would be known by standing there.
    """
    recent = (
        sa.select(Claim.task_id)
        .where(Claim.worker_id == _WHO)
        .order_by(Claim.task_id.desc())
        .limit(LOOKED_BACK)
        .subquery("recent")
    )
    earlier = sa.alias(Task.__table__, "earlier")
    last = (
        sa.select(sa.func.max(earlier.c.id))
        .select_from(sa.join(recent, earlier, earlier.c.id == recent.c.task_id))
        .where(earlier.c.stage == _STAGE, earlier.c.bounced == sa.false())
        .scalar_subquery()
    )
    slot = (
        sa.select(Task.id.label("slot_id"), Image.id.label("ghost_id"))
        .join_from(Task, Image, Image.id == Task.image_id)
        .where(
            Task.purpose == SLOT,
            Task.stage == _STAGE,
            Task.id > _BEFORE - FARTHEST,
            Task.priority == _PRIORITY,
            Image.state == SPARE,
        )
        .order_by(Task.id.desc())
        .limit(1)
        # Two people who look at the same number: one of them gets it.
        .with_for_update(skip_locked=True, key_share=True)
    )
    if not patient:
        return slot.where(Task.id < _BEFORE)
    since: sa.ColumnElement[int] = sa.func.coalesce(last, _BEFORE - USUAL)
    # Whole numbers throughout: compared with a fraction, the index would not be entered at this place.
    return slot.where(Task.id > since, Task.id < _BEFORE - (_THROWN * (_BEFORE - since)) // PARTS)


def slot_place(worker_id: int, found: AnyRow, thrown: float) -> dict[str, Any]:
    """The values of `a_slot` for a person and the task that the ordinary search has found; thrown: 0 to 1."""
    return {
        "thrown": int(thrown * PARTS),
        "who": worker_id,
        "at_stage": found.stage,
        "before": found.id,
        "at_priority": found.priority,
    }


_GHOST = sa.bindparam("of_ghost", type_=Image.id.type)
_SOURCE = sa.bindparam("of_source", type_=Image.id.type)
_TAXONOMY = sa.bindparam("by_taxonomy", type_=Task.taxonomy_id.type)
_SHOWN = sa.alias(Image.__table__, "shown")
# With `picture`: what was covered or cut off since must not come back into sight.
_TAKEN_OVER = ("sha256", "picture", "width", "height", "file_name", "supplier_id", "rights")

_FILL = (
    sa.update(Image)
    .where(Image.id == _GHOST, Image.state == SPARE)
    .values(
        state=SHADOW,
        duplicate_of=_SOURCE,
        **{
            name: sa.select(_SHOWN.c[name]).where(_SHOWN.c.id == _SOURCE).scalar_subquery()
            for name in _TAKEN_OVER
        },
    )
)
_SIT = (
    sa.update(Task)
    .where(Task.id == sa.bindparam("of_slot", type_=Task.id.type), Task.purpose == SLOT)
    .values(
        purpose=sa.bindparam("for_purpose", type_=Task.purpose.type),
        state=literal(TaskState.LEASED, TASK_STATE),
        worker_id=_WHO,
        lease_until=sa.bindparam("until", type_=Task.lease_until.type),
        token=Task.token + 1,
        batch=sa.bindparam("in_batch", type_=Task.batch.type),
        taxonomy_id=_TAXONOMY,
    )
    .returning(*Task.__table__.columns)
)


@cache
def _show(count: int) -> sa.Insert:
    """Labels of `count` stages for the ghost."""
    rows = [
        sa.select(
            _GHOST,
            sa.bindparam(f"stage_{place}", type_=Label.stage.type),
            sa.literal_column("1"),
            _TAXONOMY,
            sa.bindparam(f"value_{place}", type_=Label.value.type),
            sa.bindparam("at_now", type_=Label.at.type),
        )
        for place in range(count)
    ]
    columns = ["image_id", "stage", "round", "taxonomy_id", "value", "at"]
    return sa.insert(Label).from_select(columns, sa.union_all(*rows) if count > 1 else rows[0])


@cache
def _sitting(count: int) -> Statement:
    ctes = [_FILL.cte("filled"), *([_show(count).cte("labelled")] if count else [])]
    return Statement(_SIT.add_cte(*ctes))


_FILL_ALONE, _SIT_ALONE = Statement(_FILL), Statement(_SIT)
_ADD_CLAIM = Statement(sa.insert(Claim))


@dataclass(frozen=True, slots=True)
class Place:
    """A seat to be taken: the slot, the number of its image, and whose picture and labels it shows."""

    purpose: Purpose
    slot_id: int
    ghost_id: int
    source_id: int
    labels: Mapping[Stage, Any]


def sit(
    conn: Connection,
    place: Place,
    worker_id: int,
    taxonomy_id: int,
    now: datetime,
    until: datetime,
    *,
    batch: bool,
) -> AnyRow:
    """Slot → leased, with picture and labels; the task. The caller has locked slot and ghost.

    As many round trips on PostgreSQL as taking an ordinary task.
    """
    values = {
        "of_ghost": place.ghost_id,
        "of_source": place.source_id,
        "by_taxonomy": taxonomy_id,
        "of_slot": place.slot_id,
        "for_purpose": place.purpose,
        "who": worker_id,
        "until": until,
        "in_batch": batch,
    }
    shown: dict[str, Any] = {}
    for number, (stage, label) in enumerate(place.labels.items()):
        shown |= {f"stage_{number}": stage, f"value_{number}": label}
    labelling = {**shown, "at_now": now} if shown else {}
    if conn.dialect.name == "postgresql":
        task = _sitting(len(place.labels)).run(conn, values | labelling).one()
    else:
        _FILL_ALONE.change(conn, {name: values[name] for name in ("of_ghost", "of_source")})
        if shown:
            conn.execute(
                _show(len(place.labels)), labelling | {"of_ghost": place.ghost_id, "by_taxonomy": taxonomy_id}
            )
        task = _SIT_ALONE.run(conn, values).one()
    _ADD_CLAIM.change(conn, {"task_id": task.id, "token": task.token, "worker_id": worker_id, "at": now})
    return task


def seat_beside(
    conn: Connection,
    purpose: Purpose,
    stage: Stage,
    source_id: int,
    labels: Mapping[Stage, Any],
    worker_id: int,
    taxonomy_id: int,
    now: datetime,
    until: datetime,
    *,
    cause: Cause | None = None,
) -> AnyRow:
    """A shadow seat that hides nothing, leased: on new numbers, with the picture of `source_id`."""
    taken_over = [*_TAKEN_OVER, "priority"]
    shown = sa.select(
        *(_SHOWN.c[name] for name in taken_over),
        SHADOW,
        _SHOWN.c.id,
        sa.literal(now, Image.created_at.type),
    ).where(_SHOWN.c.id == source_id)
    columns = [*taken_over, "state", "duplicate_of", "created_at"]
    image_id = conn.execute(sa.insert(Image).from_select(columns, shown).returning(Image.id)).scalar_one()
    label = {"image_id": image_id, "round": 1, "taxonomy_id": taxonomy_id, "at": now}
    if labels:
        rows = [{**label, "stage": each, "value": value} for each, value in labels.items()]
        conn.execute(sa.insert(Label), rows)
    task = conn.execute(
        sa.insert(Task)
        .values(
            image_id=image_id,
            stage=stage,
            round=1,
            seat=1,
            state=TaskState.LEASED,
            token=1,
            worker_id=worker_id,
            lease_until=until,
            taxonomy_id=taxonomy_id,
            opened_at=now,
            purpose=purpose,
            cause=cause,
        )
        .returning(*Task.__table__.columns)
    ).one()
    claim = {"task_id": task.id, "token": task.token, "worker_id": worker_id, "at": now}
    _ADD_CLAIM.change(conn, claim)
    return task


def next_round(conn: Connection, image_id: int) -> None:
    """A shadow's answer would have sent the image back: its round is the next one, and that is all."""
    conn.execute(
        sa.update(Image).where(Image.id == image_id, Image.state == SHADOW).values(round=Image.round + 1)
    )


def seat_of(conn: Connection, image_id: int) -> AnyRow | None:
    """The shadow seat that took up this number: stage, state, `source_id`, when it was given and answered."""
    return conn.execute(
        sa.select(
            Task.stage,
            Task.state,
            Image.duplicate_of.label("source_id"),
            sa.select(sa.func.max(Claim.at))
            .where(Claim.task_id == Task.id)
            .scalar_subquery()
            .label("given_at"),
            sa.select(sa.func.max(Submission.at))
            .where(Submission.task_id == Task.id, Submission.standing == Standing.EVIDENCE)
            .scalar_subquery()
            .label("answered_at"),
        )
        .join_from(Task, Image, Image.id == Task.image_id)
        .where(Task.image_id == image_id, Task.purpose.not_in((Purpose.WORK, Purpose.SLOT)))
        .limit(1)
    ).one_or_none()


def when_answered(conn: Connection, image_id: int, stage: Stage) -> datetime | None:
    """When the stage of an image was last answered for good."""
    return conn.execute(
        sa.select(sa.func.max(Submission.at)).where(
            Submission.image_id == image_id,
            Submission.stage == stage,
            Submission.standing == Standing.COUNTED,
        )
    ).scalar_one_or_none()


def when_accepted(conn: Connection, image_id: int) -> datetime | None:
    """When the image was last accepted."""
    return conn.execute(
        sa.select(sa.func.max(ImageEvent.at)).where(
            ImageEvent.image_id == image_id, ImageEvent.what == What.ACCEPTED
        )
    ).scalar_one_or_none()


def latest_labels(conn: Connection, image_id: int) -> dict[Stage, AnyRow]:
    """The newest label of each stage."""
    rows = conn.execute(
        sa.select(Label.stage, Label.value, Label.at).where(Label.image_id == image_id).order_by(Label.id)
    )
    return {row.stage: row for row in rows}


def end_rest(conn: Connection, task_id: int) -> None:
    """A shadow seat that was let go is over, as if somebody else had taken it."""
    conn.execute(
        sa.update(Task)
        .where(Task.id == task_id, Task.state == READY, Task.purpose != WORK)
        .values(state=TaskState.CLOSED, reserved_for=None, reserved_until=None, token=Task.token + 1)
    )


def somebody_took(conn: Connection, stage: Stage, worker_id: int, ends_from: datetime) -> bool:
    """Whether somebody else holds a task of the stage by a lease that ends at `ends_from` or later."""
    return (
        conn.execute(
            sa.select(Task.id)
            .where(
                Task.lease_until >= ends_from,
                Task.state == LEASED,
                Task.purpose == WORK,
                Task.stage == stage,
                Task.worker_id != worker_id,
            )
            .limit(1)
        ).first()
        is not None
    )
