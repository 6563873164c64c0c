"""The table of drafts."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, Json, UtcDateTime


class Draft(Base):
    """How far somebody got with a task: the last state alone, for it is nobody's answer yet."""

    __tablename__ = "drafts"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    body: Mapped[Any] = mapped_column(Json)
    saved_at: Mapped[datetime] = mapped_column(UtcDateTime)

    # Old ones are found by their age.
    __table_args__ = (sa.Index("ix_drafts_saved_at", "saved_at"),)
