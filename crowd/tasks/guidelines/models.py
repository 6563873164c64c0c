"""Table of the guidelines that admins wrote."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage


class Language(StrEnum):
    """What guidelines are written in."""

    EN = "en"
    KO = "ko"


class Guideline(Base):
    """One version of a stage's guideline in one language; version 0 comes with the product. Append-only."""

    __tablename__ = "guidelines"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE)
    language: Mapped[Language] = mapped_column(Coded(Language))
    version: Mapped[int]
    text: Mapped[str] = mapped_column(sa.Text)
    reason: Mapped[str] = mapped_column(sa.Text)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    # Of two who write the next version at once, one is told that the other was first.
    __table_args__ = (sa.UniqueConstraint("stage", "language", "version", name="uq_guidelines_version"),)
