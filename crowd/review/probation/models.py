"""The table of probation: how many of somebody's first reviews have been looked at so far."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base


class Probation(Base):
    """A reviewer, and the number of their first reviews up to where the job has read."""

    __tablename__ = "probations"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True, autoincrement=False)
    reviews: Mapped[int]
