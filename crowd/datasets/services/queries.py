"""All SQL of who asked for a service, who may use it, who did, and what its model said."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow
from crowd.datasets.models import ServiceDecision, ServiceRequest, ServiceUse, Verdict
from crowd.ml.models import Candidates, Model
from crowd.policy import Stage
from crowd.tasks.models import Task

_NEWEST = (
    sa.select(sa.func.max(ServiceDecision.id))
    .where(ServiceDecision.request_id == ServiceRequest.id)
    .correlate(ServiceRequest)
    .scalar_subquery()
)
# Every request with the decision that holds, if there is one.
_REQUESTS = (
    sa.select(
        *ServiceRequest.__table__.columns,
        Worker.username,
        ServiceDecision.verdict,
        ServiceDecision.reason,
        ServiceDecision.at.label("decided_at"),
    )
    .join_from(ServiceRequest, Worker, Worker.id == ServiceRequest.worker_id)
    .outerjoin(ServiceDecision, ServiceDecision.id == _NEWEST)
)


def add_request(conn: Connection, stage: Stage, worker_id: int, purpose: str, now: datetime) -> int:
    """A person asks for a service; returns the request's id."""
    return conn.execute(
        sa.insert(ServiceRequest)
        .values(stage=stage, worker_id=worker_id, purpose=purpose, at=now)
        .returning(ServiceRequest.id)
    ).scalar_one()


def lock_request(conn: Connection, request_id: int) -> None:
    """Of two decisions at once, the second waits here and sees the first."""
    found = sa.select(ServiceRequest.id).where(ServiceRequest.id == request_id)
    conn.execute(found.with_for_update()).one_or_none()


def request(conn: Connection, request_id: int) -> AnyRow | None:
    """The request of that id."""
    return conn.execute(_REQUESTS.where(ServiceRequest.id == request_id)).one_or_none()


def requests_of(conn: Connection, worker_id: int, stage: Stage) -> Sequence[AnyRow]:
    """What one person asked about a service, newest first."""
    mine = _REQUESTS.where(ServiceRequest.worker_id == worker_id, ServiceRequest.stage == stage)
    return conn.execute(mine.order_by(ServiceRequest.id.desc())).all()


def requests(conn: Connection, stage: Stage, *, by: int | None, after: int, limit: int) -> Sequence[AnyRow]:
    """Requests for a service, oldest first; of one person, if `by` names one."""
    statement = _REQUESTS.where(ServiceRequest.stage == stage, ServiceRequest.id > after)
    if by is not None:
        statement = statement.where(ServiceRequest.worker_id == by)
    return conn.execute(statement.order_by(ServiceRequest.id).limit(limit)).all()


def add_decision(
    conn: Connection, request_id: int, verdict: Verdict, reason: str, actor_id: int, now: datetime
) -> None:
    """What an admin decided about a request."""
    conn.execute(
        sa.insert(ServiceDecision).values(
            request_id=request_id, verdict=verdict, reason=reason, actor_id=actor_id, at=now
        )
    )


def said(conn: Connection, stage: Stage, image_id: int) -> AnyRow | None:
    """What the newest of the stage's models that looked at the image said of it."""
    return conn.execute(
        sa.select(Candidates.model_id, Candidates.value, Model.name, Model.version)
        .join_from(Task, Candidates, Candidates.task_id == Task.id)
        .join(Model, Model.id == Candidates.model_id)
        .where(Task.image_id == image_id, Task.stage == stage)
        .order_by(Candidates.model_id.desc(), Candidates.task_id.desc())
        .limit(1)
    ).one_or_none()


def add_use(
    conn: Connection,
    stage: Stage,
    image_id: int,
    model_id: int,
    worker_id: int,
    request_id: int | None,
    now: datetime,
) -> None:
    """Somebody is told what a model says of an image."""
    conn.execute(
        sa.insert(ServiceUse).values(
            stage=stage,
            image_id=image_id,
            model_id=model_id,
            worker_id=worker_id,
            request_id=request_id,
            at=now,
        )
    )


def uses(conn: Connection, stage: Stage, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Who used a service, and when, oldest first."""
    return conn.execute(
        sa.select(
            ServiceUse.id,
            ServiceUse.image_id,
            ServiceUse.model_id,
            ServiceUse.worker_id,
            Worker.username,
            ServiceUse.request_id,
            ServiceUse.at,
        )
        .join_from(ServiceUse, Worker, Worker.id == ServiceUse.worker_id)
        .where(ServiceUse.stage == stage, ServiceUse.id > after)
        .order_by(ServiceUse.id)
        .limit(limit)
    ).all()
