"""All SQL about guidelines."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.policy import Stage
from crowd.tasks.guidelines.models import Guideline, Language


def latest(conn: Connection, stage: Stage, language: Language) -> AnyRow | None:
    """The newest version that an admin wrote."""
    return conn.execute(_versions(stage, language).limit(1)).one_or_none()


def versions(
    conn: Connection, stage: Stage, language: Language, *, before: int | None, limit: int
) -> Sequence[AnyRow]:
    """What admins wrote, newest first, older than version `before`."""
    statement = _versions(stage, language).limit(limit)
    if before is not None:
        statement = statement.where(Guideline.version < before)
    return conn.execute(statement).all()


def add(conn: Connection, **values: Any) -> None:
    """A new version. Raises IntegrityError where somebody else wrote that one first."""
    conn.execute(sa.insert(Guideline).values(**values))


def _versions(stage: Stage, language: Language) -> AnySelect:
    columns = (Guideline.version, Guideline.text, Guideline.reason, Guideline.at)
    return (
        sa.select(*columns, Worker.username.label("who"))
        .join(Worker, Worker.id == Guideline.worker_id)
        .where(Guideline.stage == stage, Guideline.language == language)
        .order_by(Guideline.version.desc())
    )
