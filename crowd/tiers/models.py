"""The history of every person's standing; rows are never changed."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.accounts.models import GRADE
from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.policy import Grade


class Standing(StrEnum):
    """What happened to a person's standing."""

    JOINED = "joined"
    GRADED = "graded"
    SUSPENDED = "suspended"
    REINSTATED = "reinstated"
    ERASED = "erased"


class GradeEvent(Base):
    """One change of a person's grade or standing. Append-only (a trigger holds it)."""

    __tablename__ = "grade_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[Standing] = mapped_column(Coded(Standing))
    old_grade: Mapped[Grade | None] = mapped_column(GRADE)
    new_grade: Mapped[Grade] = mapped_column(GRADE)
    # None: the command line of the installation itself.
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)
    # The figures that a rule went by, where one did. With a new grade `judged`: by stage how many of the
    # person's answers had been judged.
    evidence: Mapped[Any | None] = mapped_column(Json)
