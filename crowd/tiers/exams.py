"""Exams people took, and the grade that a passed one proposes. Which questions they ask is not known here."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, mapped_column

from crowd.accounts import queries as people
from crowd.core.db import AnyRow, Base, BigId, UtcDateTime
from crowd.policy import Grade, Policy, Stage
from crowd.tiers import proposal_queries
from crowd.tiers.quality_models import STAGE

# Raised when it changes how an exam leads to a grade.
RULE = "exam-1"
_OPEN = "ended_at IS NULL"


class Exam(Base):
    """Somebody's exam at a stage: `items` questions; ended when all are answered, or missed."""

    __tablename__ = "exams"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    items: Mapped[int] = mapped_column(sa.SmallInteger)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    score: Mapped[float | None]
    passed: Mapped[bool | None]

    __table_args__ = (
        sa.Index("ix_exams_worker", "worker_id", "stage", "id"),
        # Two exams begun at the same moment: one of them.
        sa.Index(
            "uq_exams_open",
            "worker_id",
            "stage",
            unique=True,
            postgresql_where=sa.text(_OPEN),
            sqlite_where=sa.text(_OPEN),
        ),
    )


def begin(conn: Connection, worker_id: int, stage: Stage, items: int, now: datetime) -> int:
    """A new exam; the caller holds the lock on the person and knows that none is open."""
    row = {"worker_id": worker_id, "stage": stage, "items": items, "started_at": now}
    exam_id: int = conn.execute(sa.insert(Exam).values(row).returning(Exam.id)).scalar_one()
    return exam_id


def end(conn: Connection, exam_id: int, score: float, passed: bool, now: datetime) -> bool:
    """The exam is over; False when it was already."""
    over = sa.update(Exam).where(Exam.id == exam_id, Exam.ended_at.is_(None))
    return conn.execute(over.values(ended_at=now, score=score, passed=passed)).rowcount == 1


def exam(conn: Connection, exam_id: int) -> AnyRow | None:
    """One exam."""
    return conn.execute(sa.select(*Exam.__table__.c).where(Exam.id == exam_id)).one_or_none()


def exams_of(
    conn: Connection, worker_id: int, *, stage: Stage | None = None, after: int = 0, limit: int = 1000
) -> list[AnyRow]:
    """A person's exams (at a stage), oldest first."""
    found = sa.select(*Exam.__table__.c).where(Exam.worker_id == worker_id, Exam.id > after)
    if stage is not None:
        found = found.where(Exam.stage == stage)
    return list(conn.execute(found.order_by(Exam.id).limit(limit)))


def passed_stages(conn: Connection, worker_id: int) -> frozenset[Stage]:
    """The stages whose exam the person has passed."""
    found = sa.select(Exam.stage).where(Exam.worker_id == worker_id, Exam.passed.is_(True))
    return frozenset(conn.execute(found).scalars())


def propose(conn: Connection, policy: Policy, passed: AnyRow, score: float, now: datetime) -> bool:
    """A passed exam speaks for the lowest grade that may work at its stage; False where that changes nothing.

    An admin confirms it or not, as with every proposal.
    """
    person = people.person(conn, passed.worker_id)
    if person is None or person.grade is Grade.ADMIN:
        return False
    new = grade_of(passed.stage, policy)
    if passed.stage in policy.stages_for(person.grade) or _rank(new) <= _rank(person.grade):
        return False
    evidence = {"rule": RULE, "exam_id": passed.id, "stage": passed.stage.value, "score": score}
    return proposal_queries.insert(conn, person.id, person.grade, new, evidence, now)


def grade_of(stage: Stage, policy: Policy) -> Grade:
    """The lowest grade that may work at a stage."""
    return min(policy.stages[stage].grades, key=_rank)


def _rank(grade: Grade) -> int:
    return list(Grade).index(grade)
