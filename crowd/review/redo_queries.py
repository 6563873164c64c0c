"""All SQL of redos."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow
from crowd.images.models import Image
from crowd.policy import Stage
from crowd.review.redo_models import Redo, RedoImage, RedoState
from crowd.review.redo_rules import Fate
from crowd.tasks.models import Kind, Standing, Submission, Task, TaskState

_COUNTED = sa.and_(Submission.standing == Standing.COUNTED, Submission.kind == Kind.SUBMIT)
_REDOS = sa.select(*Redo.__table__.columns, Worker.username.label("by")).outerjoin(
    Worker, Worker.id == Redo.actor_id
)


def _answers_of(worker_id: int, stages: Collection[Stage]) -> sa.ColumnElement[bool]:
    return sa.and_(Submission.worker_id == worker_id, Submission.stage.in_(stages), _COUNTED)


def bounds(conn: Connection, worker_id: int, stages: Collection[Stage], since: datetime) -> AnyRow:
    """The first and the last id, and the number, of a person's answers at these stages since a moment."""
    ids = (sa.func.min(Submission.id), sa.func.max(Submission.id), sa.func.count())
    names = ("first", "last", "answers")
    columns = [column.label(name) for column, name in zip(ids, names, strict=True)]
    return conn.execute(
        sa.select(*columns).where(_answers_of(worker_id, stages), Submission.at >= since)
    ).one()


def answers(
    conn: Connection, worker_id: int, stages: Collection[Stage], after: int, last: int, limit: int
) -> Sequence[AnyRow]:
    """Id and image of up to `limit` of the answers beyond `after`, oldest first."""
    return conn.execute(
        sa.select(Submission.id, Submission.image_id)
        .where(_answers_of(worker_id, stages), Submission.id > after, Submission.id <= last)
        .order_by(Submission.id)
        .limit(limit)
    ).all()


def image_states(conn: Connection, image_ids: Collection[int]) -> dict[int, AnyRow]:
    """State and round of images."""
    rows = conn.execute(sa.select(Image.id, Image.state, Image.round).where(Image.id.in_(image_ids)))
    return {row.id: row for row in rows}


def given(conn: Connection, image_ids: Collection[int]) -> Mapping[int, Sequence[AnyRow]]:
    """Every answer that counts, by image, oldest first; without the labels themselves."""
    rows = conn.execute(
        sa.select(
            Submission.id,
            Submission.image_id,
            Submission.stage,
            Submission.round,
            Submission.worker_id,
            Submission.result["unusable"].as_string().label("unusable"),
            Submission.result["score"].as_integer().label("score"),
            Task.cause,
            Task.disputed,
        )
        .join(Task, Task.id == Submission.task_id)
        .where(Submission.image_id.in_(image_ids), _COUNTED)
        .order_by(Submission.id)
    )
    found: dict[int, list[AnyRow]] = defaultdict(list)
    for row in rows:
        found[row.image_id].append(row)
    return found


def open_stages(conn: Connection, image_ids: Collection[int]) -> Mapping[int, set[Stage]]:
    """The stages of the images' open tasks."""
    states = (TaskState.READY, TaskState.LEASED, TaskState.STUCK)
    rows = conn.execute(
        sa.select(Task.image_id, Task.stage).where(Task.image_id.in_(image_ids), Task.state.in_(states))
    )
    found: dict[int, set[Stage]] = defaultdict(set)
    for row in rows:
        found[row.image_id].add(row.stage)
    return found


def add_redo(conn: Connection, **values: Any) -> int | None:
    """The id of a new redo; None when one of the same person is under way."""
    try:
        with conn.begin_nested():
            redo_id: int = conn.execute(sa.insert(Redo).values(**values).returning(Redo.id)).scalar_one()
    except IntegrityError:
        return None
    return redo_id


def redo(conn: Connection, redo_id: int) -> AnyRow | None:
    """The redo of that id."""
    return conn.execute(_REDOS.where(Redo.id == redo_id)).one_or_none()


def redos(conn: Connection, *, worker_id: int | None, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Up to `limit` redos with an id beyond `after`, oldest first."""
    query = _REDOS.order_by(Redo.id).limit(limit)
    if after is not None:
        query = query.where(Redo.id > after)
    if worker_id is not None:
        query = query.where(Redo.worker_id == worker_id)
    return conn.execute(query).all()


def due(conn: Connection, now: datetime) -> AnyRow | None:
    """The oldest redo that a job worker may take."""
    return conn.execute(
        sa.select(*Redo.__table__.columns)
        .where(Redo.state == RedoState.PENDING, Redo.run_after <= now)
        .order_by(Redo.id)
        .limit(1)
    ).one_or_none()


def hold(
    conn: Connection, redo_id: int, before: datetime, until: datetime, progress: Mapping[str, int]
) -> bool:
    """Move `run_after` ahead and keep the progress; False when another job worker has taken it."""
    mine = sa.update(Redo).where(Redo.id == redo_id, Redo.run_after == before)
    return conn.execute(mine.values(run_after=until, **progress)).rowcount == 1


def end(conn: Connection, redo_id: int, before: datetime, now: datetime) -> bool:
    """Pending → done; False when another job worker has taken it."""
    mine = sa.update(Redo).where(Redo.id == redo_id, Redo.run_after == before)
    done = mine.values(state=RedoState.DONE, run_after=None, finished_at=now)
    return conn.execute(done).rowcount == 1


def has_met(conn: Connection, redo_id: int, image_id: int) -> bool:
    """Whether the redo has dealt with the image."""
    met = sa.select(RedoImage.image_id).where(RedoImage.redo_id == redo_id, RedoImage.image_id == image_id)
    return conn.execute(met).first() is not None


def note(conn: Connection, redo_id: int, image_id: int, fate: Fate, stage: Stage, at: datetime) -> None:
    """Keep what the redo did with an image."""
    values = {"redo_id": redo_id, "image_id": image_id, "fate": fate, "stage": stage, "at": at}
    conn.execute(sa.insert(RedoImage), values)


def fates(conn: Connection, redo_id: int) -> Sequence[AnyRow]:
    """How many images met which fate at which stage."""
    return conn.execute(
        sa.select(RedoImage.fate, RedoImage.stage, sa.func.count().label("images"))
        .where(RedoImage.redo_id == redo_id)
        .group_by(RedoImage.fate, RedoImage.stage)
    ).all()
