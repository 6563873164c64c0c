"""The table of refreshers."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage

_OPEN = sa.text("done_at IS NULL")


class Refresher(Base):
    """Practice offered to somebody at a stage, with the figures that spoke for it; closed once.

    Done when `items` practice tasks of the stage have been answered since.
    """

    __tablename__ = "refreshers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    items: Mapped[int]
    why: Mapped[Any] = mapped_column(Json)
    offered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Offered once, however many processes look.
        sa.Index(
            "uq_refreshers_open",
            "worker_id",
            "stage",
            unique=True,
            postgresql_where=_OPEN,
            sqlite_where=_OPEN,
        ),
        sa.Index("ix_refreshers_worker", "worker_id", "stage", "offered_at"),
    )
