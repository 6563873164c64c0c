"""All SQL about experts: who is best, who may be asked further, and their figures."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow
from crowd.policy import Grade, Stage
from crowd.tasks.expert_models import ExpertFigure, ReadMark
from crowd.tasks.models import Kind, Label, Part, Participation, Standing, Submission, Task
from crowd.tasks.queries import DONE, LEASED, READY
from crowd.tiers.quality_models import ScoreRow

_SUMS = ("answers", "unsure", "timed", "seconds", "judged", "agreed")
_SCORE = sa.and_(ScoreRow.worker_id == Worker.id, ScoreRow.stage == Stage.STYLES)


def experts(conn: Connection, grades: Collection[Grade]) -> Sequence[AnyRow]:
    """Everybody of these grades in good standing: their styles score's weights, and when they last answered.

    Some dozens of people, each read by key; None where nothing is known yet.
    """
    return conn.execute(
        sa.select(Worker.id, ScoreRow.good, ScoreRow.bad, ExpertFigure.last_at)
        .outerjoin(ScoreRow, _SCORE)
        .outerjoin(ExpertFigure, ExpertFigure.worker_id == Worker.id)
        .where(Worker.grade.in_(sorted(grades)), Worker.suspended_at.is_(None), Worker.erased_at.is_(None))
        .order_by(Worker.id)
    ).all()


def scores(conn: Connection, worker_ids: Collection[int]) -> Sequence[AnyRow]:
    """The styles scores' weights of these people, by key."""
    return conn.execute(
        sa.select(ScoreRow.worker_id, ScoreRow.good, ScoreRow.bad).where(
            ScoreRow.worker_id.in_(worker_ids), ScoreRow.stage == Stage.STYLES
        )
    ).all()


def barred_from(conn: Connection, image_id: int, image_round: int, worker_ids: Collection[int]) -> set[int]:
    """Those of the people who may not take a further styles seat of the image in this round."""
    sat = sa.select(Task.worker_id).where(
        Task.image_id == image_id,
        Task.stage == Stage.STYLES,
        Task.round == image_round,
        Task.worker_id.in_(worker_ids),
        Task.state.in_((LEASED, DONE)),
    )
    judged = sa.select(Participation.worker_id).where(
        Participation.image_id == image_id,
        Participation.worker_id.in_(worker_ids),
        Participation.part != Part.LABELLED,
    )
    return set(conn.execute(sa.union(sat, judged)).scalars())


def waiting_for(conn: Connection, worker_ids: Collection[int]) -> dict[int, int]:
    """How many tasks wait for each of the people; those for whom none does are left out."""
    rows = conn.execute(
        sa.select(Task.reserved_for, sa.func.count().label("tasks"))
        .where(Task.state == READY, Task.reserved_for.in_(worker_ids))
        .group_by(Task.reserved_for)
    )
    return {row.reserved_for: row.tasks for row in rows}


def lock_mark(conn: Connection, name: str) -> int:
    """How far the job has read; locked, so that nobody else adds the same rows."""
    conn.execute(INSERT[conn.dialect.name](ReadMark).on_conflict_do_nothing(), {"name": name, "last_id": 0})
    kept = sa.select(ReadMark.last_id).where(ReadMark.name == name).with_for_update()
    return conn.execute(kept).scalar_one()


def move_mark(conn: Connection, name: str, last_id: int) -> None:
    """The job has read up to this row."""
    conn.execute(sa.update(ReadMark).where(ReadMark.name == name).values(last_id=last_id))


def labels_after(conn: Connection, after: int, limit: int) -> Sequence[AnyRow]:
    """The next labels of whatever stage; the styles' main style where there is one."""
    main = sa.case((Label.stage == Stage.STYLES, Label.value[("styles", 0)].as_string()), else_=None)
    columns = (Label.id, Label.image_id, Label.round, Label.stage, Label.worker_id, Label.at)
    return conn.execute(
        sa.select(*columns, main.label("main")).where(Label.id > after).order_by(Label.id).limit(limit)
    ).all()


def votes(conn: Connection, image_id: int, image_round: int) -> Sequence[AnyRow]:
    """The styles that people gave for an image in one round, oldest first."""
    return conn.execute(
        sa.select(Submission.worker_id, Submission.result, Submission.seconds, Submission.at)
        .where(
            Submission.image_id == image_id,
            Submission.stage == Stage.STYLES,
            Submission.round == image_round,
            Submission.standing == Standing.COUNTED,
            Submission.kind == Kind.SUBMIT,
        )
        .order_by(Submission.id)
    ).all()


def add_figures(conn: Connection, worker_id: int, added: dict[str, Any], last_at: datetime) -> None:
    """Add to a person's figures."""
    insert = INSERT[conn.dialect.name](ExpertFigure)
    grown = {name: getattr(ExpertFigure, name) + insert.excluded[name] for name in _SUMS}
    newer = {**grown, "last_at": insert.excluded.last_at}
    values = {"worker_id": worker_id, "last_at": last_at, **added}
    conn.execute(insert.on_conflict_do_update(index_elements=["worker_id"], set_=newer), values)


def figures(conn: Connection, *, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Up to `limit` people's figures beyond the person `after`, in the order of their ids."""
    query = (
        sa.select(*ExpertFigure.__table__.columns, Worker.username, ScoreRow.good, ScoreRow.bad, ScoreRow.n)
        .join(Worker, Worker.id == ExpertFigure.worker_id)
        .outerjoin(ScoreRow, _SCORE)
        .order_by(ExpertFigure.worker_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(ExpertFigure.worker_id > after)
    return conn.execute(query).all()
