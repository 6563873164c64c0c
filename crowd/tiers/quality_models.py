"""Tables of quality: the evidence about people's answers, the scores folded from it, and what they propose.

Evidence and fits are history; scores and severities can be wiped and come out the same again. Neither
tasks nor images are known here, only their ids.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.accounts.models import GRADE
from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.policy import Grade, Stage
from crowd.tiers.score import Kind


class ProposalState(StrEnum):
    """Where a proposal stands; one that is no longer open stays as it is."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    WITHDRAWN = "withdrawn"


# The same numbers as everywhere; a lower room may not look into the images room for its type.
STAGE = Coded(Stage)
KIND = Coded(Kind)
PROPOSAL_STATE = Coded(ProposalState)
_OPEN = sa.text(f"state = {PROPOSAL_STATE.code(ProposalState.OPEN)}")
_GOLD = sa.text(f"kind = {KIND.code(Kind.GOLD)}")
_CANCELS = sa.text("cancels_id IS NOT NULL")
_UNCHECKED = sa.text("unchecked")


class EvidenceRow(Base):
    """One judgement of one answer: see `crowd.tiers.evidence.Evidence`. Append-only (a trigger holds it).

    `cancels_id`: this row judges nothing; it takes that one out, for the reason in `why`, by `judge_id`.
    """

    __tablename__ = "evidence"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    kind: Mapped[Kind] = mapped_column(KIND)
    value: Mapped[float]
    weight: Mapped[float]
    opens: Mapped[bool]
    score: Mapped[int | None] = mapped_column(sa.SmallInteger)
    against: Mapped[float | None]
    judge_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    task_id: Mapped[int] = mapped_column(sa.BigInteger)
    image_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    cancels_id: Mapped[int | None] = mapped_column(sa.ForeignKey("evidence.id"))
    why: Mapped[str | None] = mapped_column(sa.Text)

    __table_args__ = (
        sa.Index("ix_evidence_worker", "worker_id", "stage", "id"),
        sa.Index("ix_evidence_task", "task_id"),
        sa.Index("ix_evidence_gold", "worker_id", "id", postgresql_where=_GOLD, sqlite_where=_GOLD),
        # Taken out once, whoever decides twice.
        sa.Index(
            "uq_evidence_cancels", "cancels_id", unique=True, postgresql_where=_CANCELS, sqlite_where=_CANCELS
        ),
    )


class ScoreRow(Base):
    """What a person's evidence at a stage adds up to; see `crowd.tiers.score.Score`. Derived.

    A trigger makes a person's rows when the person joins, so that whoever changes them only ever locks.
    `fit_id`: the severities that it was reckoned with. `unchecked`: the rule has not looked since it changed.
    """

    __tablename__ = "scores"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True, autoincrement=False)
    fit_id: Mapped[int | None] = mapped_column(sa.ForeignKey("severity_fits.id"))
    n: Mapped[int] = mapped_column(default=0, server_default="0")
    gold_n: Mapped[int] = mapped_column(default=0, server_default="0")
    good: Mapped[float] = mapped_column(default=0.0, server_default="0")
    bad: Mapped[float] = mapped_column(default=0.0, server_default="0")
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    day_n: Mapped[int] = mapped_column(default=0, server_default="0")
    day_good: Mapped[float] = mapped_column(default=0.0, server_default="0")
    day_bad: Mapped[float] = mapped_column(default=0.0, server_default="0")
    told_n: Mapped[int] = mapped_column(default=0, server_default="0")
    told_good: Mapped[float] = mapped_column(default=0.0, server_default="0")
    told_bad: Mapped[float] = mapped_column(default=0.0, server_default="0")
    told_day_n: Mapped[int] = mapped_column(default=0, server_default="0")
    told_day_good: Mapped[float] = mapped_column(default=0.0, server_default="0")
    told_day_bad: Mapped[float] = mapped_column(default=0.0, server_default="0")
    unchecked: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    __table_args__ = (
        sa.Index("ix_scores_unchecked", "worker_id", postgresql_where=_UNCHECKED, sqlite_where=_UNCHECKED),
    )


class SeverityFit(Base):
    """A fit of the reviewers' severity was made from all evidence up to a row. Append-only.

    `rule` names the arithmetic and its numbers. With this row the fit comes out the same again.
    """

    __tablename__ = "severity_fits"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    up_to: Mapped[int] = mapped_column(sa.BigInteger)
    rule: Mapped[str] = mapped_column(sa.String(40))


class SeverityRow(Base):
    """What a fit found of one reviewer; see `crowd.tiers.severity.Severity`. Derived."""

    __tablename__ = "severities"

    fit_id: Mapped[int] = mapped_column(sa.ForeignKey("severity_fits.id"), primary_key=True)
    reviewer_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    bias: Mapped[float]
    weight: Mapped[float]
    kappa: Mapped[float | None]
    offset: Mapped[float | None]
    compared: Mapped[int]
    reviews: Mapped[int]


class RuleLook(Base):
    """The rule looks at this person again at `due_at`, whatever is judged until then; then the row goes.

    `asked` is raised whenever somebody asks for a look, so that one who looks meanwhile does not take the
    new wish for the old. Who makes a row holds the person's lock.
    """

    __tablename__ = "rule_looks"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True, autoincrement=False)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    asked: Mapped[int]


class Proposal(Base):
    """The rule proposes another grade for a person, with what it saw. Closed once, by an admin or itself."""

    __tablename__ = "tier_proposals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    old_grade: Mapped[Grade] = mapped_column(GRADE)
    new_grade: Mapped[Grade] = mapped_column(GRADE)
    evidence: Mapped[Any] = mapped_column(Json)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[ProposalState] = mapped_column(PROPOSAL_STATE)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # None with a closed one: the rule itself.
    closed_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str | None] = mapped_column(sa.Text)

    __table_args__ = (
        # Of two who propose at once one does.
        sa.Index(
            "uq_tier_proposals_open", "worker_id", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN
        ),
        sa.Index("ix_tier_proposals_state", "state", "id"),
        sa.Index("ix_tier_proposals_worker", "worker_id", "id"),
    )
