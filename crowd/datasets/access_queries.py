"""All SQL of who asked for a release, who may fetch it, who did, and what models trained on it achieved."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow
from crowd.datasets.models import (
    AccessDecision,
    AccessRequest,
    Download,
    Export,
    ExportState,
    TestResult,
    Verdict,
)
from crowd.datasets.queries import EXPORTS

# In a sheet; nobody reads more.
MOST_RESULTS = 1000

_NEWEST = (
    sa.select(sa.func.max(AccessDecision.id))
    .where(AccessDecision.request_id == AccessRequest.id)
    .correlate(AccessRequest)
    .scalar_subquery()
)
# Every request with the decision that holds, if there is one.
_REQUESTS = (
    sa.select(
        *AccessRequest.__table__.columns,
        Worker.username,
        AccessDecision.verdict,
        AccessDecision.reason,
        AccessDecision.at.label("decided_at"),
    )
    .join_from(AccessRequest, Worker, Worker.id == AccessRequest.worker_id)
    .outerjoin(AccessDecision, AccessDecision.id == _NEWEST)
)


def add_request(conn: Connection, release_id: int, worker_id: int, purpose: str, now: datetime) -> int:
    """A person asks for a release; returns the request's id."""
    return conn.execute(
        sa.insert(AccessRequest)
        .values(release_id=release_id, worker_id=worker_id, purpose=purpose, at=now)
        .returning(AccessRequest.id)
    ).scalar_one()


def lock_person(conn: Connection, worker_id: int) -> None:
    """Of two requests of one person at once, the second waits here and sees the first."""
    conn.execute(sa.select(Worker.id).where(Worker.id == worker_id).with_for_update(key_share=True)).one()


def lock_request(conn: Connection, request_id: int) -> None:
    """Of two decisions at once, the second waits here and sees the first."""
    found = sa.select(AccessRequest.id).where(AccessRequest.id == request_id)
    conn.execute(found.with_for_update()).one_or_none()


def request(conn: Connection, request_id: int) -> AnyRow | None:
    """The request of that id."""
    return conn.execute(_REQUESTS.where(AccessRequest.id == request_id)).one_or_none()


def requests_of(conn: Connection, worker_id: int, release_id: int) -> Sequence[AnyRow]:
    """What one person asked about a release, newest first."""
    return conn.execute(
        _REQUESTS.where(
            AccessRequest.worker_id == worker_id, AccessRequest.release_id == release_id
        ).order_by(AccessRequest.id.desc())
    ).all()


def requests(
    conn: Connection, release_id: int, *, by: int | None, after: int, limit: int
) -> Sequence[AnyRow]:
    """Requests for a release, oldest first; of one person, if `by` names one."""
    statement = _REQUESTS.where(AccessRequest.release_id == release_id, AccessRequest.id > after)
    if by is not None:
        statement = statement.where(AccessRequest.worker_id == by)
    return conn.execute(statement.order_by(AccessRequest.id).limit(limit)).all()


def add_decision(
    conn: Connection, request_id: int, verdict: Verdict, reason: str, actor_id: int, now: datetime
) -> None:
    """What an admin decided about a request."""
    conn.execute(
        sa.insert(AccessDecision).values(
            request_id=request_id, verdict=verdict, reason=reason, actor_id=actor_id, at=now
        )
    )


def add_download(
    conn: Connection, export: AnyRow, worker_id: int, request_id: int | None, now: datetime
) -> None:
    """Somebody fetches an export's files."""
    conn.execute(
        sa.insert(Download).values(
            release_id=export.release_id,
            export_id=export.id,
            worker_id=worker_id,
            request_id=request_id,
            at=now,
        )
    )


def downloads(conn: Connection, release_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Who fetched a release, and when, oldest first."""
    return conn.execute(
        sa.select(
            Download.id,
            Download.export_id,
            Export.format,
            Export.layout,
            Export.revision,
            Download.worker_id,
            Worker.username,
            Download.request_id,
            Download.at,
        )
        .join_from(Download, Worker, Worker.id == Download.worker_id)
        .join(Export, Export.id == Download.export_id)
        .where(Download.release_id == release_id, Download.id > after)
        .order_by(Download.id)
        .limit(limit)
    ).all()


def exports_of(conn: Connection, release_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Exports of a release, oldest first."""
    return conn.execute(
        EXPORTS.where(Export.release_id == release_id, Export.id > after).order_by(Export.id).limit(limit)
    ).all()


def is_done(export: AnyRow) -> bool:
    """Whether its files can be fetched."""
    return export.state is ExportState.DONE


def add_result(conn: Connection, **values: Any) -> int:
    """How well a model did; returns the row's id. Raises IntegrityError for a model that is not there."""
    return conn.execute(sa.insert(TestResult).values(**values).returning(TestResult.id)).scalar_one()


def every_result(conn: Connection, release_id: int) -> Sequence[AnyRow]:
    """What models achieved that were trained on the release, oldest first; there are few."""
    return conn.execute(
        sa.select(*TestResult.__table__.columns)
        .where(TestResult.release_id == release_id)
        .order_by(TestResult.id)
        .limit(MOST_RESULTS)
    ).all()


def results(conn: Connection, release_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """What models achieved that were trained on the release, oldest first."""
    return conn.execute(
        sa.select(*TestResult.__table__.columns)
        .where(TestResult.release_id == release_id, TestResult.id > after)
        .order_by(TestResult.id)
        .limit(limit)
    ).all()
