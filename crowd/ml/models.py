"""Tables of models, of the candidates they make, and of what people took from them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage


class Turn(StrEnum):
    """What happened to a stage's models."""

    ADDED = "added"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Taking(StrEnum):
    """What a person made of the candidates; `NO_LABELS`: they sent the task back, or called it unusable."""

    AS_IS = "as_is"
    CHANGED = "changed"
    REPLACED = "replaced"
    NO_LABELS = "no_labels"


class Model(Base):
    """A version of a model: a file in the storage, and what it says of itself. Append-only.

    `card` is the file's own description (see `crowd.ml.card`), `metrics` how well it did, on which set.
    """

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE)
    name: Mapped[str] = mapped_column(sa.String(60))
    version: Mapped[int]
    file: Mapped[str] = mapped_column(sa.String(200))
    sha256: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    card: Mapped[Any] = mapped_column(Json)
    metrics: Mapped[Any] = mapped_column(Json)
    created_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Two files added under one name at once become two versions, or one of them is refused.
        sa.UniqueConstraint("name", "version", name="uq_models_version"),
    )


class ModelEvent(Base):
    """A model came, or another one serves from now on. Append-only.

    `model_id` is the one added, or the one that serves afterwards (null: none); `before_id` served before.
    """

    __tablename__ = "model_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[Turn] = mapped_column(Coded(Turn))
    stage: Mapped[Stage] = mapped_column(STAGE)
    model_id: Mapped[int | None] = mapped_column(sa.ForeignKey("models.id"))
    before_id: Mapped[int | None] = mapped_column(sa.ForeignKey("models.id"))
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    why: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (sa.Index("ix_model_events_stage", "stage", "id"),)


class Serving(Base):
    """Which model makes a stage's candidates. Its row is the lock under which pending tasks are taken."""

    __tablename__ = "serving_models"

    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)
    model_id: Mapped[int | None] = mapped_column(sa.ForeignKey("models.id"))
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class Candidates(Base):
    """What one model proposes for one task, ranked, with scores. Append-only."""

    __tablename__ = "candidates"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    value: Mapped[Any] = mapped_column(Json)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CandidateJob(Base):
    """A task whose candidates a job worker is making, or could not make so far.

    There are rows for these few alone. At `due_at` anybody may try (again); null: nobody will, `error`
    says why.
    """

    __tablename__ = "candidate_jobs"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(sa.SmallInteger)
    error: Mapped[str | None] = mapped_column(sa.Text)

    __table_args__ = (
        sa.Index(
            "ix_candidate_jobs_due",
            "model_id",
            "due_at",
            postgresql_where=sa.text("due_at IS NOT NULL"),
            sqlite_where=sa.text("due_at IS NOT NULL"),
        ),
    )


class CandidateMark(Base):
    """How far a model has come in its stage's queue, by priority.

    Every new task up to `task_id` has its candidates, or a job, or gets none. Without a row: from the head.
    """

    __tablename__ = "candidate_marks"

    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    priority: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    task_id: Mapped[int] = mapped_column(sa.BigInteger)


class Showing(Base):
    """Whose candidates a claim came with, or would have, were they not withheld. Append-only."""

    __tablename__ = "showings"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    token: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    withheld: Mapped[bool]


class CandidateUse(Base):
    """What an answer has in common with the candidates of its task. Append-only.

    `edit` tells how far the answer is from them: 1 - mean IoU of the regions, or how many values (styles)
    differ. `detail` has the rank of everything chosen, null for what was not among them.
    """

    __tablename__ = "candidate_uses"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    token: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    withheld: Mapped[bool]
    taking: Mapped[Taking] = mapped_column(Coded(Taking))
    proposed: Mapped[int]
    kept: Mapped[int]
    edit: Mapped[float | None]
    detail: Mapped[Any | None] = mapped_column(Json)
    seconds: Mapped[float | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class _Sums:
    """What is added up over the answers to a model's tasks, with the candidates shown or withheld.

    `bounced`: answers sent back later. `timed`: those that told their seconds.
    """

    answers: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    as_is: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    replaced: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    proposed: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    kept: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    edit: Mapped[float] = mapped_column(default=0.0)
    bounced: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    timed: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    seconds_squared: Mapped[float] = mapped_column(default=0.0)


SUMMED = (
    "answers",
    "as_is",
    "replaced",
    "proposed",
    "kept",
    "edit",
    "bounced",
    "timed",
    "seconds",
    "seconds_squared",
)


class UseDelta(_Sums, Base):
    """A change of the sums that is not in their base yet; nobody waits for anybody to add one."""

    __tablename__ = "candidate_use_deltas"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    withheld: Mapped[bool]


class UseSum(_Sums, Base):
    """The base of the sums: all changes that were folded."""

    __tablename__ = "candidate_use_sums"

    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    withheld: Mapped[bool] = mapped_column(primary_key=True)
