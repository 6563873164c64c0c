"""All SQL about answers, labels, and the part people have had in an image."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, AnyRow
from crowd.core.statements import Statement
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING
from crowd.tasks.models import (
    Claim,
    Kind,
    Label,
    Part,
    Participation,
    Standing,
    Submission,
    Task,
)

_ADD_SUBMISSION = Statement(sa.insert(Submission).inline())


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
    _ADD_SUBMISSION.change(
        conn,
        {
            "task_id": task.id,
            "token": token,
            "image_id": task.image_id,
            "stage": task.stage,
            "round": task.round,
            "worker_id": worker_id,
            "kind": kind,
            "standing": standing,
            # What came too late is kept unchecked, and may be null.
            "result": sa.JSON.NULL if result is None else result,
            "seconds": seconds,
            "at": at,
        },
    )


_COUNTED = Statement(
    sa.select(Submission.worker_id, Submission.stage, Submission.result, Submission.kind)
    .where(
        Submission.image_id == sa.bindparam("of_image", type_=Submission.image_id.type),
        Submission.stage == sa.bindparam("at_stage", type_=Submission.stage.type),
        Submission.round == sa.bindparam("in_round", type_=Submission.round.type),
        Submission.standing == Standing.COUNTED,
    )
    .order_by(Submission.id)
)


def counted_answers(conn: Connection, image_id: int, stage: Stage, image_round: int) -> Sequence[AnyRow]:
    """The answers that counted at one stage of one round, oldest first."""
    return _COUNTED.run(conn, {"of_image": image_id, "at_stage": stage, "in_round": image_round}).all()


def answers_of(conn: Connection, worker_id: int, before: int | None, limit: int) -> Sequence[AnyRow]:
    """What a person answered, newest first, with ids before `before`; `purpose` is that of the task."""
    statement = (
        sa.select(
            Submission.id,
            Submission.task_id,
            Submission.image_id,
            Submission.stage,
            Submission.kind,
            Submission.standing,
            Submission.seconds,
            Submission.at,
            Task.purpose,
        )
        .join(Task, Task.id == Submission.task_id)
        .where(Submission.worker_id == worker_id)
        .order_by(Submission.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(Submission.id < before)
    return conn.execute(statement).all()


_ADD_PARTICIPATION = {
    dialect: Statement(dialect_insert(Participation).on_conflict_do_nothing())
    for dialect, dialect_insert in INSERT.items()
}


def add_participation(conn: Connection, image_id: int, worker_id: int, part: Part, image_round: int) -> None:
    """Note the person's part, once."""
    row = {"image_id": image_id, "worker_id": worker_id, "part": part, "round": image_round}
    _ADD_PARTICIPATION[conn.dialect.name].change(conn, row)


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


_ADD_LABEL = Statement(sa.insert(Label).inline())


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
    _ADD_LABEL.change(
        conn,
        {
            "image_id": image_id,
            "stage": stage,
            "round": image_round,
            "worker_id": worker_id,
            "taxonomy_id": taxonomy_id,
            "value": value,
            "at": at,
        },
    )


_LABELS = Statement(
    sa.select(Label.id, Label.stage, Label.worker_id, Label.value, Label.round)
    .where(Label.image_id == sa.bindparam("of_image", type_=Label.image_id.type))
    .order_by(Label.id)
)


def label_rows(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """Every version of the image's labels, oldest first."""
    return _LABELS.run(conn, {"of_image": image_id}).all()


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
