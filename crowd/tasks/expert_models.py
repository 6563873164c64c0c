"""Tables of what is known of experts, and of how far jobs have read what is new."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, UtcDateTime


class ReadMark(Base):
    """The last row of a table that a job has taken note of."""

    __tablename__ = "read_marks"

    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    last_id: Mapped[int] = mapped_column(sa.BigInteger)


class ExpertFigure(Base):
    """An expert's style answers added up: time, doubt, and how often several agreed with them.

    `timed` of the `answers` told their `seconds`; `judged` of them were settled with others', and `agreed` of
    these named the main style that was settled.
    """

    __tablename__ = "expert_figures"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    answers: Mapped[int] = mapped_column(sa.BigInteger)
    unsure: Mapped[int] = mapped_column(sa.BigInteger)
    timed: Mapped[int] = mapped_column(sa.BigInteger)
    seconds: Mapped[float]
    judged: Mapped[int] = mapped_column(sa.BigInteger)
    agreed: Mapped[int] = mapped_column(sa.BigInteger)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
