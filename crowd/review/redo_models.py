"""Tables of redos: whose work is done again, and what became of each image."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage
from crowd.review.redo_rules import Fate


class RedoState(StrEnum):
    """Where a redo stands; what is not done is found again by every sweep."""

    PENDING = "pending"
    DONE = "done"


REDO_STATE = Coded(RedoState)
_PENDING = f"state = {REDO_STATE.code(RedoState.PENDING)}"


class Redo(Base):
    """All of a person's answers since a moment, to be done again by others.

    `first_id` and `last_id` bound the answers concerned, `after_id` is the last one looked at; `run_after`
    is when a job worker may take it, null once it is done.
    """

    __tablename__ = "redos"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    stages: Mapped[Any] = mapped_column(Json)
    reason: Mapped[str] = mapped_column(sa.Text)
    # None: the command line of the installation itself.
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[RedoState] = mapped_column(REDO_STATE)
    answers: Mapped[int]
    looked_at: Mapped[int] = mapped_column(default=0)
    first_id: Mapped[int] = mapped_column(sa.BigInteger)
    after_id: Mapped[int] = mapped_column(sa.BigInteger)
    last_id: Mapped[int] = mapped_column(sa.BigInteger)
    run_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Two admins at once: one orders it, the other is told so.
        sa.Index(
            "uq_redos_pending",
            "worker_id",
            unique=True,
            postgresql_where=sa.text(_PENDING),
            sqlite_where=sa.text(_PENDING),
        ),
        sa.Index("ix_redos_worker", "worker_id", "id"),
    )


class RedoImage(Base):
    """What a redo did with an image, in the transaction in which it did. Append-only (a trigger holds it).

    `stage` is the one that it opened, or that would have been.
    """

    __tablename__ = "redo_images"

    redo_id: Mapped[int] = mapped_column(sa.ForeignKey("redos.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    fate: Mapped[Fate] = mapped_column(Coded(Fate))
    stage: Mapped[Stage] = mapped_column(STAGE)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
