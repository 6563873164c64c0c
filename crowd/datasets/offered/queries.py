"""All SQL of who asked for a model's file, who may fetch it, and who did."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow
from crowd.datasets.models import ModelDecision, ModelFetch, ModelRequest, Verdict
from crowd.ml.models import Model

_NEWEST = (
    sa.select(sa.func.max(ModelDecision.id))
    .where(ModelDecision.request_id == ModelRequest.id)
    .correlate(ModelRequest)
    .scalar_subquery()
)
# Every request with the decision that holds, if there is one.
_REQUESTS = (
    sa.select(
        *ModelRequest.__table__.columns,
        Worker.username,
        ModelDecision.verdict,
        ModelDecision.reason,
        ModelDecision.at.label("decided_at"),
    )
    .join_from(ModelRequest, Worker, Worker.id == ModelRequest.worker_id)
    .outerjoin(ModelDecision, ModelDecision.id == _NEWEST)
)


def models(conn: Connection, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Every version of every model, oldest first: what anybody may know of it."""
    columns = (Model.id, Model.stage, Model.name, Model.version, Model.metrics, Model.created_at)
    return conn.execute(sa.select(*columns).where(Model.id > after).order_by(Model.id).limit(limit)).all()


def add_request(conn: Connection, model_id: int, worker_id: int, purpose: str, now: datetime) -> int:
    """A person asks for a model; returns the request's id."""
    return conn.execute(
        sa.insert(ModelRequest)
        .values(model_id=model_id, worker_id=worker_id, purpose=purpose, at=now)
        .returning(ModelRequest.id)
    ).scalar_one()


def lock_request(conn: Connection, request_id: int) -> None:
    """Of two decisions at once, the second waits here and sees the first."""
    found = sa.select(ModelRequest.id).where(ModelRequest.id == request_id)
    conn.execute(found.with_for_update()).one_or_none()


def request(conn: Connection, request_id: int) -> AnyRow | None:
    """The request of that id."""
    return conn.execute(_REQUESTS.where(ModelRequest.id == request_id)).one_or_none()


def requests_of(conn: Connection, worker_id: int, model_id: int) -> Sequence[AnyRow]:
    """What one person asked about a model, newest first."""
    mine = _REQUESTS.where(ModelRequest.worker_id == worker_id, ModelRequest.model_id == model_id)
    return conn.execute(mine.order_by(ModelRequest.id.desc())).all()


def requests(conn: Connection, model_id: int, *, by: int | None, after: int, limit: int) -> Sequence[AnyRow]:
    """Requests for a model, oldest first; of one person, if `by` names one."""
    statement = _REQUESTS.where(ModelRequest.model_id == model_id, ModelRequest.id > after)
    if by is not None:
        statement = statement.where(ModelRequest.worker_id == by)
    return conn.execute(statement.order_by(ModelRequest.id).limit(limit)).all()


def add_decision(
    conn: Connection, request_id: int, verdict: Verdict, reason: str, actor_id: int, now: datetime
) -> None:
    """What an admin decided about a request."""
    conn.execute(
        sa.insert(ModelDecision).values(
            request_id=request_id, verdict=verdict, reason=reason, actor_id=actor_id, at=now
        )
    )


def add_fetch(conn: Connection, model_id: int, worker_id: int, request_id: int | None, now: datetime) -> None:
    """Somebody fetches a model's file."""
    conn.execute(
        sa.insert(ModelFetch).values(model_id=model_id, worker_id=worker_id, request_id=request_id, at=now)
    )


def fetches(conn: Connection, model_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Who fetched a model, and when, oldest first."""
    return conn.execute(
        sa.select(ModelFetch.id, ModelFetch.worker_id, Worker.username, ModelFetch.request_id, ModelFetch.at)
        .join_from(ModelFetch, Worker, Worker.id == ModelFetch.worker_id)
        .where(ModelFetch.model_id == model_id, ModelFetch.id > after)
        .order_by(ModelFetch.id)
        .limit(limit)
    ).all()
