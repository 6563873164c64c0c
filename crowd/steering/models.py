"""Tables of kept figures, of plans and of notices.

Every figure is a sum of whole numbers by day (agreement: by ISO week), so that any order of adding gives
the same, to the last digit. In a key 0 stands for nobody, and for no group.
"""

from datetime import date, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.accounts.models import GRADE
from crowd.core.db import Base, BigId, Coded, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Grade, Stage


class Source(StrEnum):
    """What is told into figures: rows of `submissions` that count, rows of `image_events` that matter."""

    ANSWERS = "answers"
    EVENTS = "events"


class Basis(StrEnum):
    """How two answers to one question came about: neither person saw the other's, or the later one did."""

    INDEPENDENT = "independent"
    REVISION = "revision"


SOURCE = Coded(Source)
BASIS = Coded(Basis)


class Untold(Base):
    """A row of the history that is in no figure yet. Triggers write these, upkeep takes them.

    Nothing is checked here, not even that it is the only one: no answer may fail for the sake of a figure.
    """

    __tablename__ = "untold"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source: Mapped[Source] = mapped_column(SOURCE)
    row_id: Mapped[int] = mapped_column(sa.BigInteger)


class Retelling(Base):
    """History from before, up to `last_id`, that is still to be told; `next_id` comes next."""

    __tablename__ = "retellings"

    source: Mapped[Source] = mapped_column(SOURCE, primary_key=True, autoincrement=False)
    next_id: Mapped[int] = mapped_column(sa.BigInteger)
    last_id: Mapped[int] = mapped_column(sa.BigInteger)


class _Key:
    day: Mapped[date] = mapped_column(sa.Date, primary_key=True)


class _Work:
    """Sums over answers, on the day each was given.

    `answers` all that count; of these `sent_back`, `unusable`; `passed`, `rejected` (verdicts);
    `timed` with their `milliseconds`; `bounced`: rejected by a bounce since; `missed`: a first review
    that let something pass which a later review bounced; `compared` with an independent answer and their
    `likeness`; `revised` by a later answer of somebody else, of which `kept`; `fixed`: corrects a bounced
    one. Likeness and kept are in millionths.
    """

    answers: Mapped[int] = mapped_column(sa.BigInteger)
    sent_back: Mapped[int] = mapped_column(sa.BigInteger)
    unusable: Mapped[int] = mapped_column(sa.BigInteger)
    passed: Mapped[int] = mapped_column(sa.BigInteger)
    rejected: Mapped[int] = mapped_column(sa.BigInteger)
    timed: Mapped[int] = mapped_column(sa.BigInteger)
    milliseconds: Mapped[int] = mapped_column(sa.BigInteger)
    bounced: Mapped[int] = mapped_column(sa.BigInteger)
    missed: Mapped[int] = mapped_column(sa.BigInteger)
    compared: Mapped[int] = mapped_column(sa.BigInteger)
    likeness: Mapped[int] = mapped_column(sa.BigInteger)
    revised: Mapped[int] = mapped_column(sa.BigInteger)
    kept: Mapped[int] = mapped_column(sa.BigInteger)
    fixed: Mapped[int] = mapped_column(sa.BigInteger)


class WorkDay(_Work, _Key, Base):
    """What a person did at a stage in a day, as a member of a group."""

    __tablename__ = "work_days"

    worker_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    group_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)

    __table_args__ = (sa.Index("ix_work_days_day", "day"),)


class SupplierDay(_Work, _Key, Base):
    """What was done at a stage on a supplier's images in a day."""

    __tablename__ = "supplier_days"

    supplier_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)


class ImageDay(_Key, Base):
    """What became of a supplier's images in a day; `accepted` less those taken back."""

    __tablename__ = "image_days"

    supplier_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    uploaded: Mapped[int] = mapped_column(sa.BigInteger)
    accepted: Mapped[int] = mapped_column(sa.BigInteger)
    held: Mapped[int] = mapped_column(sa.BigInteger)
    refused: Mapped[int] = mapped_column(sa.BigInteger)
    withdrawn: Mapped[int] = mapped_column(sa.BigInteger)
    reopened: Mapped[int] = mapped_column(sa.BigInteger)


class StyleDay(_Key, Base):
    """What experts made of a style in a day: in how many answers it was `named`, `main`, or `unsure`.

    `agreed`, `disagreed`: pairs of independent answers that both, or only one of which, name it. `bounced`:
    answers that named it; `added`, `removed` by corrections; `accepted`: images whose main style it is.
    """

    __tablename__ = "style_days"

    style: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    named: Mapped[int] = mapped_column(sa.BigInteger)
    main: Mapped[int] = mapped_column(sa.BigInteger)
    unsure: Mapped[int] = mapped_column(sa.BigInteger)
    agreed: Mapped[int] = mapped_column(sa.BigInteger)
    disagreed: Mapped[int] = mapped_column(sa.BigInteger)
    bounced: Mapped[int] = mapped_column(sa.BigInteger)
    added: Mapped[int] = mapped_column(sa.BigInteger)
    removed: Mapped[int] = mapped_column(sa.BigInteger)
    accepted: Mapped[int] = mapped_column(sa.BigInteger)


class ErrorDay(_Key, Base):
    """How often bounces gave a reason, by the day, author and stage of the answer they reject.

    `style`: the main style that the image had then; empty before it had any.
    """

    __tablename__ = "error_days"

    worker_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    group_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    supplier_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)
    style: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    bounces: Mapped[int] = mapped_column(sa.BigInteger)


class FixDay(_Key, Base):
    """Who corrected whose bounced answers in a day; `changed`: those that came out differently.

    Of both the group they belonged to when they answered.
    """

    __tablename__ = "fix_days"

    fixer_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    fixer_group_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    author_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    author_group_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    supplier_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)
    fixed: Mapped[int] = mapped_column(sa.BigInteger)
    changed: Mapped[int] = mapped_column(sa.BigInteger)


class AgreementWeek(Base):
    """How often one person's value `a` met another's `b` on one question, by the week of the later answer.

    `week` is its Monday. `variable`: score, styles, or an attribute's name. `worker_id`, then of `group_id`,
    gave `a` (attributes are kept by group alone, under person 0); `earlier`: and was the first of the two.
    `weight` is in parts of `crowd.steering.telling.UNIT`: a question that m people answered has 1 / (m - 1)
    for each pair.
    """

    __tablename__ = "agreement_weeks"

    week: Mapped[date] = mapped_column(sa.Date, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)
    basis: Mapped[Basis] = mapped_column(BASIS, primary_key=True, autoincrement=False)
    variable: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    group_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    earlier: Mapped[bool] = mapped_column(primary_key=True)
    a: Mapped[str] = mapped_column(sa.String(500), primary_key=True)
    b: Mapped[str] = mapped_column(sa.String(500), primary_key=True)
    weight: Mapped[int] = mapped_column(sa.BigInteger)

    __table_args__ = (sa.Index("ix_agreement_weeks_worker", "worker_id", "stage"),)


class SupplierAgreementWeek(Base):
    """The same by supplier: the earlier person's value `a` against the later one's `b`."""

    __tablename__ = "supplier_agreement_weeks"

    week: Mapped[date] = mapped_column(sa.Date, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)
    basis: Mapped[Basis] = mapped_column(BASIS, primary_key=True, autoincrement=False)
    variable: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    supplier_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    a: Mapped[str] = mapped_column(sa.String(500), primary_key=True)
    b: Mapped[str] = mapped_column(sa.String(500), primary_key=True)
    weight: Mapped[int] = mapped_column(sa.BigInteger)


class Plan(Base):
    """What a stage is to reach: a version; the newest of a stage holds. Append-only.

    `volume` answers from `starts_on` to `ends_on`, both included; null: there is no plan any more.
    """

    __tablename__ = "plans"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE)
    starts_on: Mapped[date | None] = mapped_column(sa.Date)
    ends_on: Mapped[date | None] = mapped_column(sa.Date)
    volume: Mapped[int | None] = mapped_column(sa.BigInteger)
    person_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (sa.Index("ix_plans_stage", "stage", "id"),)


class Notice(Base):
    """Something people are told: those of a grade, a stage or a group; everybody without any. Append-only."""

    __tablename__ = "notices"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    title: Mapped[str] = mapped_column(sa.String(200))
    text: Mapped[str] = mapped_column(sa.Text)
    grade: Mapped[Grade | None] = mapped_column(GRADE)
    stage: Mapped[Stage | None] = mapped_column(STAGE)
    group_id: Mapped[int | None] = mapped_column(sa.ForeignKey("groups.id"))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_notices_expires_at", "expires_at"),)


class NoticeEnd(Base):
    """A notice was taken back before its time. Append-only."""

    __tablename__ = "notice_ends"

    notice_id: Mapped[int] = mapped_column(sa.ForeignKey("notices.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)


class NoticeRead(Base):
    """Somebody has read a notice. Append-only."""

    __tablename__ = "notice_reads"

    notice_id: Mapped[int] = mapped_column(sa.ForeignKey("notices.id"), primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
