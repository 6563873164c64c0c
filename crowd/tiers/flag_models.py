"""Tables of flags: what somebody noticed about a person, and what an admin made of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.policy import Stage


class FlagCode(StrEnum):
    """What a flag says of a person's answers. New ones are added at the end."""

    BLANKET = "blanket"
    TOO_FAST = "too_fast"
    COPIED = "copied"
    TAKEN_OVER = "taken_over"
    UNRELIABLE_REVIEWER = "unreliable_reviewer"
    LENIENT_REVIEWER = "lenient_reviewer"
    SEVERE_REVIEWER = "severe_reviewer"
    RUBBER_STAMP = "rubber_stamp"
    FAILED_GOLD = "failed_gold"
    DRIFT = "drift"


class FlagState(StrEnum):
    """Where a flag stands; a flag that was decided stays so."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


class FlagStep(StrEnum):
    """What happened to a flag."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


FLAG_STATE = Coded(FlagState)
FLAG_CODE = Coded(FlagCode)
# The same numbers as everywhere; a lower room may not look into the images room for its type.
FLAG_STAGE = Coded(Stage)
_OPEN = f"state = {FLAG_STATE.code(FlagState.OPEN)}"


class Flag(Base):
    """Something that speaks against a person's answers. Punishes nobody by itself.

    `stage` is None where it concerns no single one; `evidence` holds the numbers behind it.
    """

    __tablename__ = "flags"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    stage: Mapped[Stage | None] = mapped_column(FLAG_STAGE)
    code: Mapped[FlagCode] = mapped_column(FLAG_CODE)
    evidence: Mapped[Any] = mapped_column(Json)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[FlagState] = mapped_column(FLAG_STATE)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # None with a decided flag: the command line of the installation itself.
    decided_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str | None] = mapped_column(sa.Text)

    __table_args__ = (
        # Of two who notice the same at once one opens the flag. Where there is no stage, a null equals none.
        sa.Index(
            "uq_flags_open",
            "worker_id",
            "stage",
            "code",
            unique=True,
            postgresql_where=sa.text(f"{_OPEN} AND stage IS NOT NULL"),
            sqlite_where=sa.text(f"{_OPEN} AND stage IS NOT NULL"),
        ),
        sa.Index(
            "uq_flags_open_anywhere",
            "worker_id",
            "code",
            unique=True,
            postgresql_where=sa.text(f"{_OPEN} AND stage IS NULL"),
            sqlite_where=sa.text(f"{_OPEN} AND stage IS NULL"),
        ),
        sa.Index("ix_flags_worker", "worker_id", "id"),
        sa.Index("ix_flags_state", "state", "id"),
    )


class FlagEvent(Base):
    """One step of a flag. Append-only (a trigger holds it)."""

    __tablename__ = "flag_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    flag_id: Mapped[int] = mapped_column(sa.ForeignKey("flags.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[FlagStep] = mapped_column(Coded(FlagStep))
    # None: a detector, or the command line.
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)
    evidence: Mapped[Any | None] = mapped_column(Json)
