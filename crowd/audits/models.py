"""Tables of audits: what was drawn from which lot, what came of it, who signed, and what went back."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage


class AuditState(StrEnum):
    """What an audit came to. Decided once: a lot that failed is not drawn from again, it goes back."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"
    DROPPED = "dropped"


class AuditTurn(StrEnum):
    """What happened to an audit."""

    DRAWN = "drawn"
    PASSED = "passed"
    FAILED = "failed"
    DROPPED = "dropped"
    ORDERED_BACK = "ordered_back"
    WENT_BACK = "went_back"
    REDRAWN = "redrawn"


class Opinion(StrEnum):
    """What an auditor signs."""

    APPROVED = "approved"
    REJECTED = "rejected"
    NOTED = "noted"


AUDIT_STATE = Coded(AuditState)


def _partial(name: str, *columns: Any, where: str, unique: bool = False) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


class Audit(Base):
    """A sample of `size` of the `lot` images that were accepted when it was drawn.

    `scope` says which: all, or those of a supplier, a batch, or both. An image that was accepted again after
    the row `last_event_id` of the history is not of the lot any more. `void` images of the sample may no
    longer be shown, `replaced` ones might be judged by nobody; the next ones by place take their turn.
    `dealing`: its seats are given out. `ended_at`: since then it stands in nobody's way: it has passed, was
    dropped, or its lot went back.
    """

    __tablename__ = "audits"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    scope: Mapped[str] = mapped_column(sa.String(60))
    supplier_id: Mapped[int | None] = mapped_column(sa.ForeignKey("suppliers.id"))
    batch_id: Mapped[int | None] = mapped_column(sa.ForeignKey("batches.id"))
    lot: Mapped[int]
    size: Mapped[int]
    confidence: Mapped[float]
    tolerable_rate: Mapped[float]
    allowed_wrong: Mapped[int]
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    last_event_id: Mapped[int] = mapped_column(sa.BigInteger)
    drawn_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # None: the command line of the installation itself.
    drawn_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)
    state: Mapped[AuditState] = mapped_column(AUDIT_STATE)
    dealing: Mapped[bool]
    judged: Mapped[int] = mapped_column(default=0)
    wrong: Mapped[int] = mapped_column(default=0)
    void: Mapped[int] = mapped_column(default=0)
    replaced: Mapped[int] = mapped_column(default=0, server_default="0")
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Two admins at once: one draws, the other is told so. Nor is a lot that failed drawn from until it
        # passes: it has to go back first.
        _partial("uq_audits_standing", "scope", where="ended_at IS NULL", unique=True),
        _partial("ix_audits_dealing", "id", where="dealing"),
        _partial("ix_audits_passed", "id", where=f"state = {AUDIT_STATE.code(AuditState.PASSED)}"),
        sa.CheckConstraint("wrong <= judged AND judged <= size AND size <= lot", name="sizes"),
    )


class AuditImage(Base):
    """An image of the sample, at its place in the order in which it was drawn; `round`: the image's then.

    `task_id` is the seat given out last. `settled_at`: since then it is judged, void or replaced.
    """

    __tablename__ = "audit_images"

    audit_id: Mapped[int] = mapped_column(sa.ForeignKey("audits.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    round: Mapped[int] = mapped_column(sa.SmallInteger)
    task_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tasks.id"))
    void: Mapped[bool] = mapped_column(default=False)
    replaced: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    wrong: Mapped[bool | None]
    score: Mapped[int | None] = mapped_column(sa.SmallInteger)
    # Where it goes back to.
    blame: Mapped[Stage | None] = mapped_column(STAGE)
    reasons: Mapped[Any | None] = mapped_column(Json)
    comment: Mapped[str | None] = mapped_column(sa.Text)

    __table_args__ = (
        sa.UniqueConstraint("audit_id", "image_id", name="uq_audit_images_image"),
        _partial("uq_audit_images_task", "task_id", where="task_id IS NOT NULL", unique=True),
        _partial("ix_audit_images_waiting", "audit_id", "place", where="settled_at IS NULL"),
    )


class AuditEvent(Base):
    """Something happened to an audit. Append-only. `actor_id` null: by its figures, or the command line."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    audit_id: Mapped[int] = mapped_column(sa.ForeignKey("audits.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[AuditTurn] = mapped_column(Coded(AuditTurn))
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)


class AuditSignature(Base):
    """An auditor's opinion of an audit as it stood then, after `turns` events. Append-only.

    `turns` and `void` are null in rows that are older than the columns.
    """

    __tablename__ = "audit_signatures"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    audit_id: Mapped[int] = mapped_column(sa.ForeignKey("audits.id"), index=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    opinion: Mapped[Opinion] = mapped_column(Coded(Opinion))
    comment: Mapped[str] = mapped_column(sa.Text)
    state: Mapped[AuditState] = mapped_column(AUDIT_STATE)
    judged: Mapped[int]
    wrong: Mapped[int]
    turns: Mapped[int | None]
    void: Mapped[int | None]

    # Of the same person about the same state of things there is one.
    __table_args__ = (
        sa.Index(
            "uq_audit_signatures_standing", "audit_id", "worker_id", "turns", "judged", "void", unique=True
        ),
    )


class AuditReturn(Base):
    """What an audit judged wrong goes back to the stage to blame, and if wanted the whole lot to `stage`.

    A job worker goes through the images by id, up to `after_id` so far; `run_after` is when one may take it,
    null once it is done. `reopened` counts by stage, `left_alone` by why.
    """

    __tablename__ = "audit_returns"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    audit_id: Mapped[int] = mapped_column(sa.ForeignKey("audits.id"), index=True)
    stage: Mapped[Stage | None] = mapped_column(STAGE)
    reason: Mapped[str] = mapped_column(sa.Text)
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    after_id: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    reopened: Mapped[Any] = mapped_column(Json)
    left_alone: Mapped[Any] = mapped_column(Json)
    run_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Two admins at once: one sends back, the other is told so.
        _partial("uq_audit_returns_pending", "audit_id", where="finished_at IS NULL", unique=True),
        _partial("ix_audit_returns_due", "run_after", where="run_after IS NOT NULL"),
    )
