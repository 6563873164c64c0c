"""All SQL of gold: the pool, who has sat before what, and exams."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, AnySelect, literal
from crowd.core.statements import Statement
from crowd.gold.models import ORIGIN, GoldEvent, GoldItem, GoldSeat, Origin, Step
from crowd.images.models import IMAGE_STATE, Image, ImageEvent, ImageState, What
from crowd.ml.models import Candidates
from crowd.policy import Grade, Stage
from crowd.tasks import shadow_queries
from crowd.tasks.models import Claim, Label, Purpose, Submission, Task
from crowd.tiers.quality_models import KIND, EvidenceRow
from crowd.tiers.score import Kind

# Items looked at for one that the person has not met.
LOOKED_AT = 64
MOST_PLACE = 2**31 - 1

_WHO = sa.bindparam("who", type_=GoldSeat.worker_id.type)
_STAGE = sa.bindparam("at_stage", type_=GoldItem.stage.type)


def answered_at_most(conn: Connection, worker_id: int, most: int) -> int:
    """How many answers a person has given, counted up to `most`."""
    values = {"who": worker_id, "at_most": most}
    found: int = _ANSWERED.run(conn, values).scalar_one()
    return found


_ANSWERED = Statement(
    sa.select(sa.func.count()).select_from(
        sa.select(Submission.id)
        .where(Submission.worker_id == _WHO)
        .limit(sa.bindparam("at_most", type_=sa.Integer))
        .subquery()
    )
)


def _unmet(*, with_model: bool, bad: bool | None = None) -> AnySelect:
    """The first item from a place on whose picture the person has not seen; of few that are looked at."""
    near = (
        sa.select(GoldItem.id, GoldItem.image_id, GoldItem.task_id, GoldItem.labels, GoldItem.place)
        .where(
            GoldItem.active,
            GoldItem.stage == _STAGE,
            GoldItem.place >= sa.bindparam("beyond", type_=sa.Integer),
        )
        .where(*_of_kind(bad))
        .order_by(GoldItem.place)
        .limit(LOOKED_AT)
        .subquery("near")
    )
    # Each asked by itself for one item after the other until one will do; as EXISTS they would be joined, and
    # all that somebody has met or that is accepted might be read for it.
    met = sa.select(GoldSeat.task_id).where(GoldSeat.worker_id == _WHO, GoldSeat.image_id == near.c.image_id)
    held = (
        sa.select(Claim.task_id)
        .join_from(Task, Claim, Claim.task_id == Task.id)
        .where(Task.image_id == near.c.image_id, Claim.worker_id == _WHO)
    )
    state = sa.select(Image.state).where(Image.id == near.c.image_id)
    conditions = [
        _nothing(met),
        _nothing(held),
        state.scalar_subquery() == literal(ImageState.ACCEPTED, IMAGE_STATE),
    ]
    if with_model:
        made = sa.select(Candidates.model_id).where(
            Candidates.task_id == near.c.task_id,
            Candidates.model_id == sa.bindparam("of_model", type_=Candidates.model_id.type),
        )
        conditions.append(~_nothing(made))
    columns = (near.c.id.label("gold_id"), near.c.image_id.label("source_id"), near.c.labels, near.c.place)
    return sa.select(*columns).where(*conditions).order_by(near.c.place).limit(1)


def _of_kind(bad: bool | None) -> list[sa.ColumnElement[bool]]:
    """Work that reviewers should find bad, or good; None: either."""
    planted = literal(Origin.PLANTED, ORIGIN)
    return [] if bad is None else [GoldItem.origin == planted if bad else GoldItem.origin != planted]


def _nothing(found: AnySelect) -> sa.ColumnElement[bool]:
    return found.limit(1).scalar_subquery().is_(None)


@cache
def _picking(patient: bool, with_model: bool) -> Statement:
    item = _unmet(with_model=with_model).subquery("item")
    slot = shadow_queries.a_slot(patient=patient).subquery("slot")
    columns = (item.c.gold_id, item.c.source_id, item.c.labels, slot.c.slot_id, slot.c.ghost_id)
    return Statement(sa.select(*columns).select_from(sa.outerjoin(item, slot, sa.true())))


def pick(
    conn: Connection,
    worker_id: int,
    found: AnyRow,
    beyond: int,
    model_id: int | None,
    thrown: float,
    *,
    patient: bool,
) -> AnyRow | None:
    """An item for a person with `slot_id` and `ghost_id`, locked, where it can stand in for the task found.

    Both are null when there is no such place now; None: no item for this person. `model_id`: only items
    with candidates of that model. `beyond` and `thrown` (0 to 1) decide which item and which place.
    """
    values = {**shadow_queries.slot_place(worker_id, found, thrown), "beyond": beyond}
    if not patient:
        del values["thrown"]
    if model_id is not None:
        values["of_model"] = model_id
    return _picking(patient, model_id is not None).run(conn, values).first()


@cache
def _unmet_alone(bad: bool | None) -> Statement:
    return Statement(_unmet(with_model=False, bad=bad))


def unmet_item(
    conn: Connection, worker_id: int, stage: Stage, beyond: int, bad: bool | None = None
) -> AnyRow | None:
    """An item for a person, wherever it is shown; `bad`: of bad or of good work alone."""
    return _unmet_alone(bad).run(conn, {"who": worker_id, "at_stage": stage, "beyond": beyond}).first()


_SEAT_COLUMNS = ("task_id", "gold_id", "worker_id", "image_id", "purpose", "exam_id", "given_at", "example")
_ADD_SEAT = {
    name: Statement(
        insert(GoldSeat)
        .values(
            {
                column: sa.bindparam(f"the_{column}", type_=GoldSeat.__table__.c[column].type)
                for column in _SEAT_COLUMNS
            }
        )
        .on_conflict_do_nothing()
    )
    for name, insert in INSERT.items()
}


def add_seat(
    conn: Connection,
    task_id: int,
    gold_id: int,
    worker_id: int,
    image_id: int,
    purpose: Purpose,
    now: datetime,
    exam_id: int | None = None,
    *,
    example: bool = False,
) -> bool:
    """Note that the person gets the item; False when they have met its picture by now.

    `example`: with its answer.
    """
    row = (task_id, gold_id, worker_id, image_id, purpose, exam_id, now, example)
    values = {f"the_{name}": value for name, value in zip(_SEAT_COLUMNS, row, strict=True)}
    return _ADD_SEAT[conn.dialect.name].change(conn, values) == 1


def seat(conn: Connection, task_id: int) -> AnyRow | None:
    """A seat with its item."""
    return conn.execute(
        sa.select(
            GoldSeat.task_id,
            GoldSeat.gold_id,
            GoldSeat.worker_id,
            GoldSeat.purpose,
            GoldSeat.exam_id,
            GoldSeat.answered_at,
            GoldSeat.value,
            GoldSeat.passed,
            GoldSeat.notes,
            GoldItem.stage,
            GoldItem.answer,
            GoldItem.labels,
            GoldItem.origin,
            GoldItem.active,
            GoldItem.image_id.label("source_id"),
            Image.state.label("source_state"),
        )
        .join_from(GoldSeat, GoldItem, GoldItem.id == GoldSeat.gold_id)
        .join(Image, Image.id == GoldItem.image_id)
        .where(GoldSeat.task_id == task_id)
    ).one_or_none()


def answer_seat(
    conn: Connection,
    task_id: int,
    value: float,
    passed: bool,
    notes: Sequence[Mapping[str, Any]],
    at: datetime,
) -> None:
    """How well a seat was answered."""
    conn.execute(
        sa.update(GoldSeat)
        .where(GoldSeat.task_id == task_id, GoldSeat.answered_at.is_(None))
        .values(value=value, passed=passed, notes=list(notes), answered_at=at)
    )


def lent_candidates(conn: Connection, task_id: int, model_id: int) -> Any:
    """The model's candidates for the task that a seat's item was made from; None if there are none."""
    return _LENT.run(conn, {"of_task": task_id, "of_model": model_id}).scalar_one_or_none()


_LENT = Statement(
    sa.select(Candidates.value)
    .join_from(GoldSeat, GoldItem, GoldItem.id == GoldSeat.gold_id)
    .join(Candidates, Candidates.task_id == GoldItem.task_id)
    .where(
        GoldSeat.task_id == sa.bindparam("of_task", type_=GoldSeat.task_id.type),
        Candidates.model_id == sa.bindparam("of_model", type_=Candidates.model_id.type),
    )
)


def wanting_candidates(conn: Connection, stage: Stage, model_id: int, limit: int) -> list[int]:
    """Tasks of the pool's items that have no candidates of a model yet."""
    has = sa.exists(
        sa.select(Candidates.task_id).where(
            Candidates.task_id == GoldItem.task_id, Candidates.model_id == model_id
        )
    )
    found = sa.select(GoldItem.task_id).where(
        GoldItem.active, GoldItem.stage == stage, GoldItem.task_id.is_not(None), ~has
    )
    rows = conn.execute(found.order_by(GoldItem.place).limit(limit)).all()
    return [row.task_id for row in rows if row.task_id is not None]


def was_adjudicated(conn: Connection, image_id: int) -> bool:
    """Whether somebody settled a dispute about the image that is now accepted, since it was so before."""
    before = (
        sa.select(ImageEvent.id)
        .where(ImageEvent.image_id == image_id, ImageEvent.what == What.ACCEPTED)
        .order_by(ImageEvent.id.desc())
        .offset(1)
        .limit(1)
        .scalar_subquery()
    )
    found = sa.select(ImageEvent.id).where(
        ImageEvent.image_id == image_id,
        ImageEvent.stage == Stage.ADJUDICATION,
        ImageEvent.id > sa.func.coalesce(before, 0),
    )
    return conn.execute(found.limit(1)).first() is not None


def items_of(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """The items of an image, in the pool or not."""
    columns = (GoldItem.id, GoldItem.stage, GoldItem.active, GoldItem.created_at)
    return conn.execute(sa.select(*columns).where(GoldItem.image_id == image_id).order_by(GoldItem.id)).all()


def label_versions(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """Every version of an image's labels with its moment, oldest first."""
    columns = (Label.stage, Label.value, Label.at)
    return conn.execute(sa.select(*columns).where(Label.image_id == image_id).order_by(Label.id)).all()


def evidence_of(conn: Connection, gold_id: int) -> dict[int, list[int]]:
    """The evidence that answers on an item have brought and that still counts: its ids, by person."""
    cancelling = sa.alias(EvidenceRow.__table__, "cancelling")
    taken_out = sa.exists(sa.select(cancelling.c.id).where(cancelling.c.cancels_id == EvidenceRow.id))
    rows = conn.execute(
        sa.select(EvidenceRow.worker_id, EvidenceRow.id)
        .join(GoldSeat, GoldSeat.task_id == EvidenceRow.task_id)
        .where(GoldSeat.gold_id == gold_id, EvidenceRow.kind == literal(Kind.GOLD, KIND))
        .where(EvidenceRow.cancels_id.is_(None), ~taken_out)
        .order_by(EvidenceRow.worker_id, EvidenceRow.id)
    )
    found: dict[int, list[int]] = {}
    for worker_id, evidence_id in rows:
        found.setdefault(worker_id, []).append(evidence_id)
    return found


def first_task(conn: Connection, image_id: int, stage: Stage) -> int | None:
    """The image's first task of a stage."""
    found = sa.select(Task.id).where(
        Task.image_id == image_id, Task.stage == stage, Task.round == 1, Task.seat == 1
    )
    return conn.execute(found).scalar_one_or_none()


def add_item(conn: Connection, **values: Any) -> int | None:
    """A new item, active; None if the image has one at the stage, or the rule has made this one before."""
    added: int | None = conn.execute(
        INSERT[conn.dialect.name](GoldItem)
        .values(**values, active=True)
        .on_conflict_do_nothing()
        .returning(GoldItem.id)
    ).scalar_one_or_none()
    return added


def active_item(conn: Connection, image_id: int, stage: Stage) -> int | None:
    """The item of an image and stage that is in the pool."""
    found = sa.select(GoldItem.id).where(
        GoldItem.image_id == image_id, GoldItem.stage == stage, GoldItem.active
    )
    return conn.execute(found).scalar_one_or_none()


def add_event(
    conn: Connection, gold_id: int, step: Step, worker_id: int | None, reason: str, at: datetime
) -> None:
    """Keep what was done with an item."""
    conn.execute(
        sa.insert(GoldEvent).values(gold_id=gold_id, step=step, worker_id=worker_id, reason=reason, at=at)
    )


def set_active(conn: Connection, gold_id: int, active: bool) -> bool:
    """Take an item out of the pool, or back in; False when it is so already."""
    changed = sa.update(GoldItem).where(GoldItem.id == gold_id, GoldItem.active.is_(not active))
    return conn.execute(changed.values(active=active)).rowcount == 1


def events_of(conn: Connection, gold_id: int) -> Sequence[AnyRow]:
    """What was done with an item, oldest first."""
    return conn.execute(
        sa.select(GoldEvent.at, GoldEvent.step, GoldEvent.reason, Worker.username.label("by"))
        .join(Worker, Worker.id == GoldEvent.worker_id, isouter=True)
        .where(GoldEvent.gold_id == gold_id)
        .order_by(GoldEvent.id)
    ).all()


def items(
    conn: Connection,
    *,
    stage: Stage | None = None,
    active: bool | None = None,
    origin: Origin | None = None,
    gold_id: int | None = None,
    after: int = 0,
    limit: int = 1,
) -> Sequence[AnyRow]:
    """Items in the order of their ids, with how they have fared: served, answered, passed, mean value."""
    page = sa.select(*GoldItem.__table__.c).where(GoldItem.id > after).order_by(GoldItem.id).limit(limit)
    for column, value in (
        (GoldItem.stage, stage),
        (GoldItem.active, active),
        (GoldItem.origin, origin),
        (GoldItem.id, gold_id),
    ):
        if value is not None:
            page = page.where(column == value)
    item = page.subquery("item")
    one: sa.ColumnElement[int] = sa.literal_column("1")
    fared = sa.select(
        item,
        sa.func.count(GoldSeat.task_id).label("served"),
        sa.func.count(GoldSeat.answered_at).label("answered"),
        sa.func.count(sa.case((GoldSeat.passed.is_(True), one))).label("passed"),
        sa.func.avg(GoldSeat.value).label("mean"),
    ).join_from(item, GoldSeat, GoldSeat.gold_id == item.c.id, isouter=True)
    # JSON cannot be grouped by: the key decides about the rest.
    keys = [item.c.id] if conn.dialect.name == "sqlite" else list(item.c)
    return conn.execute(fared.group_by(*keys).order_by(item.c.id)).all()


def crew(conn: Connection, grades: Sequence[Grade]) -> int:
    """How many people in good standing are of these grades."""
    able = sa.select(sa.func.count()).where(
        Worker.grade.in_(grades), Worker.suspended_at.is_(None), Worker.erased_at.is_(None)
    )
    return conn.execute(able).scalar_one()


def count_unmet(conn: Connection, worker_id: int, stage: Stage, most: int, bad: bool | None = None) -> int:
    """How many pictures of a stage's items the person has not met, up to `most`; `bad` as in `unmet_item`."""
    met = sa.exists(
        sa.select(GoldSeat.task_id).where(
            GoldSeat.worker_id == worker_id, GoldSeat.image_id == GoldItem.image_id
        )
    )
    held = sa.exists(
        sa.select(Claim.task_id)
        .join_from(Task, Claim, Claim.task_id == Task.id)
        .where(Task.image_id == GoldItem.image_id, Claim.worker_id == worker_id)
    )
    unmet = (
        sa.select(GoldItem.image_id)
        .join(Image, Image.id == GoldItem.image_id)
        .where(GoldItem.active, GoldItem.stage == stage, Image.state == ImageState.ACCEPTED, ~met, ~held)
        .where(*_of_kind(bad))
        .distinct()
        .limit(most)
        .subquery()
    )
    return conn.execute(sa.select(sa.func.count()).select_from(unmet)).scalar_one()


def seats_of_exam(conn: Connection, exam_id: int) -> Sequence[AnyRow]:
    """The questions of an exam that were asked so far, in their order."""
    columns = (GoldSeat.task_id, GoldSeat.answered_at, GoldSeat.value, GoldItem.origin)
    found = (
        sa.select(*columns)
        .join(GoldItem, GoldItem.id == GoldSeat.gold_id)
        .where(GoldSeat.exam_id == exam_id, GoldSeat.exam_id.is_not(None))
    )
    return conn.execute(found.order_by(GoldSeat.task_id)).all()


def practice_of(conn: Connection, worker_id: int, stage: Stage) -> tuple[int, int]:
    """How much somebody has practised at a stage: answers, and right ones among them. Examples are none."""
    one: sa.ColumnElement[int] = sa.literal_column("1")
    found = (
        sa.select(
            sa.func.count(GoldSeat.answered_at), sa.func.count(sa.case((GoldSeat.passed.is_(True), one)))
        )
        .join_from(GoldSeat, GoldItem, GoldItem.id == GoldSeat.gold_id)
        .where(
            GoldSeat.worker_id == worker_id,
            GoldSeat.purpose == Purpose.PRACTICE,
            GoldSeat.example.is_(False),
            GoldItem.stage == stage,
        )
    )
    answered, right = conn.execute(found).one()
    return answered, right


def practice_given(conn: Connection, worker_id: int, stage: Stage, since: datetime) -> tuple[int, int]:
    """Items of the pool that somebody was given in practice, and practice tasks of any since a moment."""
    one: sa.ColumnElement[int] = sa.literal_column("1")
    found = (
        sa.select(
            sa.func.count(sa.case((GoldItem.active, one))),
            sa.func.count(sa.case((GoldSeat.given_at >= since, one))),
        )
        .join_from(GoldSeat, GoldItem, GoldItem.id == GoldSeat.gold_id)
        .where(
            GoldSeat.worker_id == worker_id,
            GoldSeat.purpose == Purpose.PRACTICE,
            GoldItem.stage == stage,
        )
    )
    in_pool, lately = conn.execute(found).one()
    return in_pool, lately


def count_items(conn: Connection, stage: Stage) -> int:
    """How many items a stage has in the pool."""
    found = sa.select(sa.func.count()).where(GoldItem.active, GoldItem.stage == stage)
    return conn.execute(found).scalar_one()
