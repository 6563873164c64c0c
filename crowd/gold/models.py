"""Tables of gold: what is known, who has sat before it, and exams."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage
from crowd.tasks.models import PURPOSE, Purpose


class Origin(StrEnum):
    """How an answer came to be known."""

    ADJUDICATED = "adjudicated"
    ADMIN = "admin"
    PLANTED = "planted"


ORIGIN = Coded(Origin)


class Step(StrEnum):
    """What happened to a gold item."""

    ADDED = "added"
    RETIRED = "retired"
    REACTIVATED = "reactivated"
    VOIDED = "voided"


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


class GoldItem(Base):
    """A known answer at one stage of an image. `labels`: what is shown, by stage; `answer`: what is right.

    `task_id` is the image's own first task of the stage: its candidates are shown with the item.
    `place` is thrown once; whoever looks for an item begins at a place of their own.
    """

    __tablename__ = "gold_items"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    task_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tasks.id"))
    taxonomy_id: Mapped[int] = mapped_column(sa.ForeignKey("taxonomies.id"))
    labels: Mapped[Any] = mapped_column(Json)
    answer: Mapped[Any] = mapped_column(Json)
    origin: Mapped[Origin] = mapped_column(ORIGIN)
    active: Mapped[bool]
    place: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index("ix_gold_items_active", "stage", "place", **_where("active")),
        sa.Index("ix_gold_items_image", "image_id", "stage"),
        # In the pool once at a time: two would be two chances to meet the same picture.
        sa.Index("uq_gold_items_active", "image_id", "stage", unique=True, **_where("active")),
    )


class GoldEvent(Base):
    """What was done with a gold item, by whom (null: the rule) and why. Append-only (a trigger holds it)."""

    __tablename__ = "gold_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gold_id: Mapped[int] = mapped_column(sa.ForeignKey("gold_items.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    step: Mapped[Step] = mapped_column(Coded(Step))
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)


class GoldSeat(Base):
    """Somebody was given a gold item, and how well they answered: 0 to 1. The picture is theirs only once.

    `example`: in practice, with the answer.
    """

    __tablename__ = "gold_seats"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True, autoincrement=False)
    gold_id: Mapped[int] = mapped_column(sa.ForeignKey("gold_items.id"), index=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    purpose: Mapped[Purpose] = mapped_column(PURPOSE)
    exam_id: Mapped[int | None] = mapped_column(sa.ForeignKey("exams.id"))
    given_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    value: Mapped[float | None]
    passed: Mapped[bool | None]
    notes: Mapped[Any | None] = mapped_column(Json)
    example: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    __table_args__ = (
        # Whatever races: nobody meets the same picture twice.
        sa.Index("uq_gold_seats_person", "worker_id", "image_id", unique=True),
        sa.Index("ix_gold_seats_exam", "exam_id", **_where("exam_id IS NOT NULL")),
    )
