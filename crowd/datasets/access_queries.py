"""All SQL of what a release can be fetched as, who fetched it, and what models trained on it achieved."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow
from crowd.datasets.models import (
    Download,
    Export,
    ExportState,
    TestResult,
)
from crowd.datasets.queries import EXPORTS

# In a sheet; nobody reads more.
MOST_RESULTS = 1000


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
