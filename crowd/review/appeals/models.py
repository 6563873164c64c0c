"""Tables of appeals and of what became of them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage


class Appeal(Base):
    """Somebody finds that their answer to a task was wrongly judged. Append-only (a trigger holds it)."""

    __tablename__ = "appeals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    recheck_id: Mapped[int] = mapped_column(sa.ForeignKey("rechecks.id"), unique=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    # One appeal an answer, whoever sends it twice.
    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), unique=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    reason: Mapped[str] = mapped_column(sa.Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_appeals_worker", "worker_id", "id"),)


class AppealDecision(Base):
    """What an appeal came to, once. Append-only (a trigger holds it).

    `by_id`: who judged again, or the admin where nobody could; `seat_id`: the former's task. `withdrawn`: the
    evidence that counts no more.
    """

    __tablename__ = "appeal_decisions"

    appeal_id: Mapped[int] = mapped_column(sa.ForeignKey("appeals.id"), primary_key=True, autoincrement=False)
    upheld: Mapped[bool]
    by_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    seat_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tasks.id"))
    why: Mapped[str] = mapped_column(sa.Text)
    withdrawn: Mapped[Any] = mapped_column(Json)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
