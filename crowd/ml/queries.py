"""The SQL of models: which there are, what happened to them, and which serves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, AnySelect
from crowd.ml.models import Model, ModelEvent, Serving, Turn
from crowd.policy import Stage

_COLUMNS = tuple(Model.__table__.columns)
_WITH_SERVING = sa.select(
    *_COLUMNS, sa.func.coalesce(Serving.model_id == Model.id, sa.false()).label("serving")
).join_from(Model, Serving, Serving.stage == Model.stage, isouter=True)


def model(conn: Connection, model_id: int) -> AnyRow | None:
    """A model, with `serving`: whether it makes its stage's candidates."""
    return conn.execute(_WITH_SERVING.where(Model.id == model_id)).one_or_none()


def model_of_file(conn: Connection, sha256: bytes) -> AnyRow | None:
    """The model whose file has these bytes."""
    return conn.execute(_WITH_SERVING.where(Model.sha256 == sha256)).one_or_none()


def model_named(conn: Connection, name: str, version: int) -> AnyRow | None:
    """The model called `name`@`version`."""
    return conn.execute(_WITH_SERVING.where(Model.name == name, Model.version == version)).one_or_none()


def models(conn: Connection, stage: Stage | None, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Models by id, of one stage if asked."""
    statement = _WITH_SERVING.order_by(Model.id).limit(limit)
    if after is not None:
        statement = statement.where(Model.id > after)
    if stage is not None:
        statement = statement.where(Model.stage == stage)
    return conn.execute(statement).all()


def newest_version(conn: Connection, name: str) -> AnyRow | None:
    """The newest version of that name: its stage and number."""
    statement = sa.select(Model.stage, Model.version).where(Model.name == name)
    return conn.execute(statement.order_by(Model.version.desc()).limit(1)).one_or_none()


def add_model(conn: Connection, values: dict[str, Any]) -> int:
    """A new version. Raises IntegrityError when another one of the name or file was faster."""
    model_id: int = conn.execute(sa.insert(Model).values(values).returning(Model.id)).scalar_one()
    return model_id


def note(
    conn: Connection,
    what: Turn,
    stage: Stage,
    model_id: int | None,
    *,
    before: int | None,
    by: int | None,
    why: str,
    now: datetime,
) -> None:
    """Write down for good what happened to the stage's models."""
    conn.execute(
        sa.insert(ModelEvent).values(
            at=now, what=what, stage=stage, model_id=model_id, before_id=before, actor_id=by, why=why
        )
    )


def events(conn: Connection, stage: Stage | None, before: int | None, limit: int) -> Sequence[AnyRow]:
    """What happened to models, newest first."""
    statement = (
        sa.select(*ModelEvent.__table__.columns, Worker.username.label("who"))
        .join_from(ModelEvent, Worker, Worker.id == ModelEvent.actor_id, isouter=True)
        .order_by(ModelEvent.id.desc())
        .limit(limit)
    )
    if stage is not None:
        statement = statement.where(ModelEvent.stage == stage)
    if before is not None:
        statement = statement.where(ModelEvent.id < before)
    return conn.execute(statement).all()


def turns(conn: Connection, stage: Stage) -> Sequence[AnyRow]:
    """Every time that another model began to serve the stage, the oldest first."""
    return conn.execute(
        sa.select(ModelEvent.what, ModelEvent.model_id)
        .where(ModelEvent.stage == stage, ModelEvent.what != Turn.ADDED)
        .order_by(ModelEvent.id)
    ).all()


_LOCK = sa.select(Serving.model_id, Serving.since).with_for_update()


def lock_serving(conn: Connection, stage: Stage, now: datetime) -> AnyRow:
    """Which model serves the stage, locked; the row is made if there is none."""
    row = conn.execute(_LOCK.where(Serving.stage == stage)).one_or_none()
    if row is not None:
        return row
    first = INSERT[conn.dialect.name](Serving).values(stage=stage, model_id=None, since=now)
    conn.execute(first.on_conflict_do_nothing())
    return conn.execute(_LOCK.where(Serving.stage == stage)).one()


def serve(conn: Connection, stage: Stage, model_id: int | None, now: datetime) -> None:
    """Have this model make the stage's candidates from now on; the caller holds the lock."""
    conn.execute(sa.update(Serving).where(Serving.stage == stage).values(model_id=model_id, since=now))


SERVED: AnySelect = (
    sa.select(
        Serving.stage,
        Serving.since,
        Model.id.label("model_id"),
        Model.name,
        Model.version,
        Model.file,
        Model.sha256,
        Model.card,
    )
    .join_from(Serving, Model, Model.id == Serving.model_id, isouter=True)
    .order_by(Serving.stage)
)


def served(conn: Connection) -> Sequence[AnyRow]:
    """Every stage that has, or ever had, a model: which one serves (`model_id` null: none)."""
    return conn.execute(SERVED).all()
