"""The table of rechecks: an answer is looked at once more, in a shadow seat, by somebody uninvolved."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage
from crowd.tasks.flow import Cause
from crowd.tasks.models import PURPOSE, Purpose


class RecheckState(StrEnum):
    """Where a recheck stands; only `crowd.review.rechecks.queries` writes it.

    Waiting: its image is still in work. Open: whoever may gets a seat. Answered: nobody moves it any more;
    dropped: neither, there is nothing to look at or it was settled otherwise.
    """

    WAITING = "waiting"
    OPEN = "open"
    ANSWERED = "answered"
    DROPPED = "dropped"


RECHECK_STATE = Coded(RecheckState)
_OPEN = sa.text(f"state = {RECHECK_STATE.code(RecheckState.OPEN)}")
_WAITING = sa.text(f"state = {RECHECK_STATE.code(RecheckState.WAITING)}")
_COMPARED = sa.text("score IS NOT NULL")


class Recheck(Base):
    """The answer `task_id` of `worker_id` at `stage` is looked at once more, on `labels` as they stood then.

    From `opened_at` on who has nothing else to do gets it, from `ripe_at` on it comes before new work.
    `seat_id`: the seat given last, to `judge_id`. `own_score` and `score`: what the answer and the judge
    gave, where the answer is a verdict. The seat looks like an adjudication of this `cause`: a split, which
    asks for a verdict, or styles, which asks for them anew.
    """

    __tablename__ = "rechecks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE)
    state: Mapped[RecheckState] = mapped_column(RECHECK_STATE)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    cause: Mapped[Cause] = mapped_column(Coded(Cause), server_default="1")
    labels: Mapped[Any | None] = mapped_column(Json)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ripe_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seat_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tasks.id"))
    judge_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    own_score: Mapped[int | None] = mapped_column(sa.SmallInteger)
    score: Mapped[int | None] = mapped_column(sa.SmallInteger)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Of an answer once, whoever asks twice.
        sa.UniqueConstraint("task_id", "purpose", name="uq_rechecks_answer"),
        # The queue: few at any time.
        sa.Index("ix_rechecks_open", "ripe_at", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
        sa.Index("ix_rechecks_waiting", "id", postgresql_where=_WAITING, sqlite_where=_WAITING),
        sa.Index("ix_rechecks_seat", "seat_id"),
        sa.Index(
            "ix_rechecks_compared", "worker_id", "id", postgresql_where=_COMPARED, sqlite_where=_COMPARED
        ),
    )
