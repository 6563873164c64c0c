"""Exams people took, and the grade that a passed one proposes. Which questions they ask is not known here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, mapped_column

from crowd.accounts import queries as people
from crowd.accounts.queries import Person
from crowd.core.db import AnyRow, Base, BigId, UtcDateTime
from crowd.policy import Grade, Policy, Stage
from crowd.tiers import look_queries, promotion, proposal_queries
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


def counting(conn: Connection, worker_id: int, stage: Stage | None = None) -> list[AnyRow]:
    """A person's exams (at a stage) that still count, oldest first: not over when their grade last fell.

    Who was demoted starts anew: neither a pass nor a miss of before decides whether they may sit.
    """
    fell_at = proposal_queries.fell_at(conn, worker_id)
    taken = exams_of(conn, worker_id, stage=stage)
    return [each for each in taken if fell_at is None or each.ended_at is None or each.ended_at > fell_at]


def passed_stages(conn: Connection, worker_id: int) -> frozenset[Stage]:
    """The stages whose exam the person has passed, as far as that counts."""
    return frozenset(each.stage for each in counting(conn, worker_id) if each.passed)


@dataclass(frozen=True, slots=True)
class Speech:
    """A passed exam speaks for a grade, above the person's."""

    old: Grade
    new: Grade
    evidence: Mapping[str, Any]


def speeches(conn: Connection, policy: Policy, person: Person, now: datetime) -> list[Speech]:
    """What a person's passed exams speak for, the highest grade first.

    An exam whose proposal was dismissed is silent for the cool-down, like the rule.
    """
    dismissed_at = proposal_queries.dismissed_at(conn, person.id)
    quiet = timedelta(days=policy.quality.cool_down_days)
    found = [
        speech
        for each in counting(conn, person.id)
        if each.passed
        and (dismissed_at is None or each.ended_at > dismissed_at or now >= dismissed_at + quiet)
        and (speech := _speech(each, each.score, policy, person)) is not None
    ]
    return sorted(found, key=lambda speech: -_rank(speech.new))


def propose(conn: Connection, policy: Policy, passed: AnyRow, score: float, now: datetime) -> bool:
    """A passed exam speaks for the lowest grade that may work at its stage; False where nothing is proposed.

    An admin confirms it or not, as with every proposal. Where something else is proposed just now, and where
    the exam is one of several things that the grade takes, the rule comes back to it. The caller has locked
    the person.
    """
    look_queries.look_again(conn, passed.worker_id, now)
    person = people.person(conn, passed.worker_id)
    speech = _speech(passed, score, policy, person) if person is not None else None
    if person is None or speech is None:
        return False
    return proposal_queries.insert(conn, person.id, speech.old, speech.new, speech.evidence, now)


def _speech(passed: AnyRow, score: float, policy: Policy, person: Person) -> Speech | None:
    new = grade_of(passed.stage, policy)
    works_there = passed.stage in policy.stages_for(person.grade) or _rank(new) <= _rank(person.grade)
    if person.grade is Grade.ADMIN or works_there or promotion.is_gated(new, policy):
        return None
    evidence = {
        "rule": RULE,
        "policy": promotion.version(policy),
        "exam_id": passed.id,
        "stage": passed.stage.value,
        "score": score,
    }
    return Speech(person.grade, new, evidence)


def grade_of(stage: Stage, policy: Policy) -> Grade:
    """The lowest grade that may work at a stage."""
    return min(policy.stages[stage].grades, key=_rank)


def _rank(grade: Grade) -> int:
    return list(Grade).index(grade)
