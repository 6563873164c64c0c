"""Tables of the watch: curves of models, doubted labels and what was decided, arrivals, alerts."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.ml.watch.diagnosis import Fault
from crowd.policy import Stage


class ModelReport(Base):
    """The errors of a model's kind as its data grew, as `crowd train … --grow` measured them. Append-only."""

    __tablename__ = "model_reports"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    value: Mapped[Any] = mapped_column(Json)

    __table_args__ = (sa.Index("ix_model_reports_model", "model_id", "id"),)


class LabelMark(Base):
    """How far a model has looked through the labels; its row is the lock of who looks."""

    __tablename__ = "label_marks"

    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    label_id: Mapped[int] = mapped_column(sa.BigInteger)


class ClassSum(Base):
    """How often a value was the label of a question, and the sum of the scores that it then had."""

    __tablename__ = "class_sums"

    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    question: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    labels: Mapped[int] = mapped_column(sa.BigInteger)
    score: Mapped[float]


class DoubtSum(Base):
    """Of a group's labels: how many a model looked at and how many it doubts. `kind`: what groups them."""

    __tablename__ = "doubt_sums"

    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    subject: Mapped[str] = mapped_column(sa.String(130), primary_key=True)
    looked: Mapped[int] = mapped_column(sa.BigInteger)
    doubted: Mapped[int] = mapped_column(sa.BigInteger)


class DoubtedLabel(Base):
    """A label that a model doubts, one row for each question. Append-only.

    `region` is empty for a whole image; `margin` (0 to 1) tells how much likelier the model finds `proposed`.
    """

    __tablename__ = "doubted_labels"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    label_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    region: Mapped[str] = mapped_column(sa.String(60))
    question: Mapped[str] = mapped_column(sa.String(60))
    given: Mapped[str] = mapped_column(sa.String(60))
    proposed: Mapped[str] = mapped_column(sa.String(60))
    margin: Mapped[float]
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.UniqueConstraint("label_id", "model_id", "region", "question", name="uq_doubted_labels_question"),
    )


class DoubtDecision(Base):
    """What an admin made of a doubt: the image went back, or the label stands. Append-only."""

    __tablename__ = "doubt_decisions"

    doubt_id: Mapped[int] = mapped_column(sa.ForeignKey("doubted_labels.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    sent_back: Mapped[bool]
    why: Mapped[str] = mapped_column(sa.Text)


class Arrival(Base):
    """How many images of a supplier's week a model gave this first answer. `week`: ISO, 202647."""

    __tablename__ = "arrivals"

    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), primary_key=True)
    supplier_id: Mapped[int] = mapped_column(sa.ForeignKey("suppliers.id"), primary_key=True)
    week: Mapped[int] = mapped_column(primary_key=True)
    answer: Mapped[str] = mapped_column(sa.String(130), primary_key=True)
    images: Mapped[int] = mapped_column(sa.BigInteger)


class QualityAlert(Base):
    """Something the watch found, and whom or what it finds most to blame. Append-only.

    `kind` says what `subject` is: stage, question, value, supplier, week or grade.
    """

    __tablename__ = "quality_alerts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    fault: Mapped[Fault] = mapped_column(Coded(Fault))
    stage: Mapped[Stage] = mapped_column(STAGE)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"))
    kind: Mapped[str] = mapped_column(sa.String(20))
    subject: Mapped[str] = mapped_column(sa.String(130))
    detail: Mapped[str] = mapped_column(sa.Text)
    figures: Mapped[Any] = mapped_column(Json)

    __table_args__ = (sa.Index("ix_quality_alerts_same", "model_id", "fault", "kind", "subject", "id"),)
