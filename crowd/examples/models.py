"""Tables of example pictures: which image shows which value, and who chose it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, UtcDateTime


class Step(StrEnum):
    """What was done with an example."""

    ADDED = "added"
    REMOVED = "removed"


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


class Example(Base):
    """An image that shows a value: of the attribute whose key is the `facet`, or a style (facet `styles`).

    `round` is the image's when it was chosen: in another one its labels may be others, and it shows nothing.
    `place` counts from 0 among the examples of a value.
    """

    __tablename__ = "examples"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    facet: Mapped[str] = mapped_column(sa.String(80))
    value: Mapped[str] = mapped_column(sa.String(120))
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    round: Mapped[int] = mapped_column(sa.SmallInteger)
    place: Mapped[int] = mapped_column(sa.SmallInteger)
    caption_en: Mapped[str] = mapped_column(sa.Text)
    caption_ko: Mapped[str] = mapped_column(sa.Text)
    active: Mapped[bool]

    __table_args__ = (
        # Whatever races: never two in one place, nor one image twice.
        sa.Index("uq_examples_place", "facet", "value", "place", unique=True, **_where("active")),
        sa.Index("uq_examples_image", "facet", "value", "image_id", unique=True, **_where("active")),
    )


class ExampleEvent(Base):
    """Who chose an example or took it away, when and why. Append-only (a trigger holds it)."""

    __tablename__ = "example_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    example_id: Mapped[int] = mapped_column(sa.ForeignKey("examples.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    step: Mapped[Step] = mapped_column(Coded(Step))
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)
