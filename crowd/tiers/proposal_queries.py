"""Every SQL statement about proposals, and what the promotion rule asks of a person's history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, literal
from crowd.policy import Grade, Stage
from crowd.tiers.models import GradeEvent, Standing
from crowd.tiers.quality_models import PROPOSAL_STATE, Proposal, ProposalState, ScoreRow
from crowd.tiers.score import Score

_BY = sa.orm.aliased(Worker)
_IS_OPEN = Proposal.state == literal(ProposalState.OPEN, PROPOSAL_STATE)


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """A proposal as admins see it; `by` is None while it is open, and where the rule withdrew it."""

    id: int
    worker_id: int
    username: str
    old_grade: Grade
    new_grade: Grade
    evidence: Any
    at: datetime
    state: ProposalState
    closed_at: datetime | None
    by: str | None
    reason: str | None


_PROPOSALS = (
    sa.select(
        Proposal.id,
        Proposal.worker_id,
        Worker.username,
        Proposal.old_grade,
        Proposal.new_grade,
        Proposal.evidence,
        Proposal.at,
        Proposal.state,
        Proposal.closed_at,
        _BY.username.label("by"),
        Proposal.reason,
    )
    .join(Worker, Worker.id == Proposal.worker_id)
    .outerjoin(_BY, _BY.id == Proposal.closed_by)
)


def proposal(conn: Connection, proposal_id: int) -> ProposalRow | None:
    """The proposal of that id."""
    row = conn.execute(_PROPOSALS.where(Proposal.id == proposal_id)).one_or_none()
    return ProposalRow(**row._mapping) if row else None


def proposals(
    conn: Connection, *, after: int | None, limit: int, state: ProposalState | None
) -> list[ProposalRow]:
    """Up to `limit` proposals with an id beyond `after`, oldest first; with `state` those that stand so."""
    query = _PROPOSALS.order_by(Proposal.id).limit(limit)
    if after is not None:
        query = query.where(Proposal.id > after)
    if state is not None:
        query = query.where(Proposal.state == state)
    return [ProposalRow(**row._mapping) for row in conn.execute(query)]


def proposals_of(conn: Connection, worker_id: int, limit: int) -> list[ProposalRow]:
    """The latest proposals for a person, newest first."""
    query = _PROPOSALS.where(Proposal.worker_id == worker_id).order_by(Proposal.id.desc()).limit(limit)
    return [ProposalRow(**row._mapping) for row in conn.execute(query)]


def open_proposal_of(conn: Connection, worker_id: int) -> ProposalRow | None:
    """What is proposed for a person."""
    row = conn.execute(_PROPOSALS.where(Proposal.worker_id == worker_id, _IS_OPEN)).one_or_none()
    return ProposalRow(**row._mapping) if row else None


def insert(
    conn: Connection, worker_id: int, old: Grade, new: Grade, evidence: Mapping[str, Any], at: datetime
) -> bool:
    """A new open proposal; False when somebody else has just made one for that person."""
    statement = INSERT[conn.dialect.name](Proposal).on_conflict_do_nothing()
    values = {
        "worker_id": worker_id,
        "old_grade": old,
        "new_grade": new,
        "evidence": dict(evidence),
        "at": at,
        "state": ProposalState.OPEN,
    }
    return conn.execute(statement.values(values).returning(Proposal.id)).first() is not None


def close(
    conn: Connection, proposal_id: int, state: ProposalState, *, by: int | None, reason: str, at: datetime
) -> bool:
    """Close an open proposal; False when somebody else has."""
    values = {"state": state, "closed_at": at, "closed_by": by, "reason": reason}
    statement = sa.update(Proposal).where(Proposal.id == proposal_id, _IS_OPEN).values(values)
    return conn.execute(statement).rowcount == 1


def _outdated() -> sa.ColumnElement[bool]:
    """The person is no longer of the grade, or no longer active."""
    still = sa.select(Worker.id).where(
        Worker.id == Proposal.worker_id,
        Worker.grade == Proposal.old_grade,
        Worker.suspended_at.is_(None),
        Worker.erased_at.is_(None),
    )
    return sa.and_(_IS_OPEN, ~sa.exists(still))


def any_outdated(conn: Connection) -> bool:
    """Whether a proposal is open for somebody whose standing has changed since."""
    return conn.execute(sa.select(Proposal.id).where(_outdated()).limit(1)).first() is not None


def withdraw_outdated(conn: Connection, at: datetime) -> int:
    """Withdraw the open proposals for people whose standing has changed. Returns how many."""
    values = {"state": ProposalState.WITHDRAWN, "closed_at": at, "reason": "the person's standing changed"}
    return conn.execute(sa.update(Proposal).where(_outdated()).values(values)).rowcount


def unchecked_people(conn: Connection, after: int, limit: int) -> Sequence[int]:
    """The ids of people beyond `after` of whom something new is known, in order."""
    query = (
        sa.select(ScoreRow.worker_id)
        .where(ScoreRow.unchecked, ScoreRow.worker_id > after)
        .distinct()
        .order_by(ScoreRow.worker_id)
        .limit(limit)
    )
    return conn.execute(query).scalars().all()


def mark_checked(conn: Connection, worker_id: int, seen: Mapping[Stage, Score]) -> None:
    """The rule has looked at these scores; one that has changed meanwhile it looks at again."""
    for stage, score in seen.items():
        conn.execute(
            sa.update(ScoreRow)
            .where(
                ScoreRow.worker_id == worker_id,
                ScoreRow.stage == stage,
                ScoreRow.unchecked,
                ScoreRow.n == score.n,
                ScoreRow.good == score.good,
                ScoreRow.bad == score.bad,
            )
            .values(unchecked=False)
        )


def last_change(conn: Connection, worker_id: int) -> AnyRow | None:
    """When a person's grade last changed, and what a rule went by then."""
    query = (
        sa.select(GradeEvent.at, GradeEvent.evidence)
        .where(GradeEvent.worker_id == worker_id, GradeEvent.what == Standing.GRADED)
        .order_by(GradeEvent.id.desc())
        .limit(1)
    )
    return conn.execute(query).one_or_none()


def fell_at(conn: Connection, worker_id: int) -> datetime | None:
    """When a person's grade last became a lower one."""
    query = (
        sa.select(GradeEvent.at, GradeEvent.old_grade, GradeEvent.new_grade)
        .where(GradeEvent.worker_id == worker_id, GradeEvent.what == Standing.GRADED)
        .order_by(GradeEvent.id.desc())
    )
    order = list(Grade)
    falls = (row.at for row in conn.execute(query) if order.index(row.new_grade) < order.index(row.old_grade))
    return next(falls, None)


def reinstated_at(conn: Connection, worker_id: int) -> datetime | None:
    """When a person was last reinstated."""
    query = sa.select(sa.func.max(GradeEvent.at)).where(
        GradeEvent.worker_id == worker_id, GradeEvent.what == Standing.REINSTATED
    )
    return conn.execute(query).scalar_one()


def dismissed_at(conn: Connection, worker_id: int) -> datetime | None:
    """When a proposal for a person was last dismissed."""
    query = sa.select(sa.func.max(Proposal.closed_at)).where(
        Proposal.worker_id == worker_id, Proposal.state == ProposalState.DISMISSED
    )
    return conn.execute(query).scalar_one()
