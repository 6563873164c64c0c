"""Proposals: the rule says who should be of another grade, and an admin confirms or dismisses it.

Only failed gold acts by itself: it suspends at once. The rule looks at people outside of any answer's
transaction, since standing is locked before scores everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from crowd.accounts import queries as people
from crowd.accounts.auth import Actor
from crowd.accounts.queries import Person
from crowd.core.db import Database
from crowd.core.errors import Conflict, Forbidden, NotFound, Problem
from crowd.policy import Grade, Policy, Stage
from crowd.tiers import exams, promotion, proposal_queries, quality_queries, service
from crowd.tiers.outlook import outlook
from crowd.tiers.promotion import Career, Suggestion
from crowd.tiers.proposal_queries import ProposalRow
from crowd.tiers.quality_models import ProposalState
from crowd.tiers.score import Score

log = structlog.get_logger(__name__)

BATCH = 200
# Of somebody's own proposals the latest so many are told.
MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rule did when it looked: proposals made and withdrawn, people suspended."""

    proposed: int = 0
    withdrawn: int = 0
    suspended: int = 0

    def plus(self, other: "Outcome") -> "Outcome":
        """Both together."""
        return Outcome(
            self.proposed + other.proposed,
            self.withdrawn + other.withdrawn,
            self.suspended + other.suspended,
        )


def look(db: Database, policy: Policy, now: datetime) -> Outcome:
    """Have the rule look at everybody of whom something new is known. Any number of processes may at once."""
    with db.read() as conn:
        is_outdated = proposal_queries.any_outdated(conn)
    outcome = Outcome()
    if is_outdated:
        with db.begin() as conn:
            outcome = Outcome(withdrawn=proposal_queries.withdraw_outdated(conn, now))
    after = 0
    while True:
        with db.read() as conn:
            batch = proposal_queries.unchecked_people(conn, after, BATCH)
        for worker_id in batch:
            outcome = outcome.plus(look_at(db, policy, worker_id, now))
        if len(batch) < BATCH:
            return outcome
        after = batch[-1]


def look_at(db: Database, policy: Policy, worker_id: int, now: datetime) -> Outcome:
    """Have the rule look at one person."""
    with db.read() as conn:
        person = people.person(conn, worker_id)
        scores = {stage: each.score for stage, each in quality_queries.scores_of(conn, worker_id).items()}
        failed = _failed_gold(conn, policy, worker_id)
    if person is None:
        return Outcome()
    outcome = Outcome()
    if failed and _is_active(person):
        outcome = Outcome(suspended=_suspend(db, worker_id, failed))
    if _is_active(person) and not outcome.suspended:
        with db.begin() as conn:
            outcome = _propose(conn, policy, person, scores, now)
    with db.begin() as conn:
        proposal_queries.mark_checked(conn, worker_id, scores)
    return outcome


def outlook_of(conn: Connection, worker_id: int, policy: Policy, now: datetime) -> dict[str, Any] | None:
    """Where somebody stands, as they may know it: by this morning's scores, gold and today's proposals apart.

    Whoever saw a score move, or a proposal come, would learn which answer did it. A passed exam's
    proposal is shown at once: its result is known.
    """
    person = people.person(conn, worker_id)
    if person is None:
        return None
    begun = {
        stage: each.score.as_told(now) for stage, each in quality_queries.scores_of(conn, worker_id).items()
    }
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    told = [
        _as_of(midnight, each)
        for each in proposal_queries.proposals_of(conn, worker_id, MOST_TOLD)
        if each.at < midnight or each.evidence["rule"] == exams.RULE
    ]
    career = _as_told(conn, person, _career(conn, person, begun), midnight)
    return {**asdict(outlook(career, policy, now)), "proposals": told}


def confirm(conn: Connection, proposal_id: int, *, by: Actor, reason: str, at: datetime) -> ProposalRow:
    """Give the person the proposed grade.

    Raises NotFound, Forbidden `yourself`, Conflict `already_decided`, `outdated`, and what `regrade` raises.
    """
    found = _open_proposal(conn, proposal_id, by)
    why = reason or f"proposed by {found.evidence['rule']}"
    # The person before the proposal, like everything that concerns their standing.
    service.regrade(
        conn,
        found.worker_id,
        found.new_grade,
        by=by,
        reason=why,
        only_from=found.old_grade,
        evidence=found.evidence | {"proposal_id": proposal_id},
    )
    return _close(conn, found, ProposalState.CONFIRMED, by, why, at)


def dismiss(conn: Connection, proposal_id: int, *, by: Actor, reason: str, at: datetime) -> ProposalRow:
    """Leave the person as they are; the rule is silent about them for the cool-down.

    Raises NotFound, Forbidden `yourself`, Conflict `already_decided`.
    """
    return _close(conn, _open_proposal(conn, proposal_id, by), ProposalState.DISMISSED, by, reason, at)


def _as_told(conn: Connection, person: Person, career: Career, until: datetime) -> Career:
    """The career with answers on gold left out of what was judged since the last change of grade."""
    changed = proposal_queries.last_change(conn, person.id)
    if changed is None:
        return career
    since = {
        stage: quality_queries.told_since(conn, person.id, stage, changed.at, until)
        for stage in career.judged_then
    }
    then = {stage: career.scores.get(stage, Score()).n - judged for stage, judged in since.items()}
    return replace(career, judged_then=then)


def _as_of(midnight: datetime, found: ProposalRow) -> dict[str, Any]:
    """A proposal as whom it concerns sees it: what the rule withdrew since midnight still stands."""
    shown = {**asdict(found), "rule": found.evidence["rule"]}
    if found.state is ProposalState.WITHDRAWN and found.closed_at and found.closed_at >= midnight:
        shown |= {"state": ProposalState.OPEN, "closed_at": None}
    return shown


def _open_proposal(conn: Connection, proposal_id: int, by: Actor) -> ProposalRow:
    found = proposal_queries.proposal(conn, proposal_id)
    if found is None:
        raise NotFound("not_found", f"There is no proposal {proposal_id}.")
    if found.worker_id == by.id:
        raise Forbidden("yourself", "Nobody changes their own standing.")
    if found.state is not ProposalState.OPEN:
        raise _already(found)
    return found


def _close(
    conn: Connection, found: ProposalRow, state: ProposalState, by: Actor, reason: str, at: datetime
) -> ProposalRow:
    if not proposal_queries.close(conn, found.id, state, by=by.id, reason=reason, at=at):
        raise _already(found)
    closed = proposal_queries.proposal(conn, found.id)
    assert closed is not None
    return closed


def _already(found: ProposalRow) -> Conflict:
    return Conflict("already_decided", f"Proposal {found.id} was decided before.")


def _is_active(person: Person) -> bool:
    return not person.suspended and not person.erased and person.grade is not Grade.ADMIN


def _failed_gold(conn: Connection, policy: Policy, worker_id: int) -> tuple[Stage, Sequence[float]] | None:
    # A reinstated person is judged by what came after.
    since = proposal_queries.reinstated_at(conn, worker_id)
    gold = quality_queries.latest_gold(conn, worker_id, since, int(policy.quality.gold_window))
    return next(
        ((stage, values) for stage, values in gold.items() if promotion.fails_gold(values, policy.quality)),
        None,
    )


def _suspend(db: Database, worker_id: int, failed: tuple[Stage, Sequence[float]]) -> int:
    stage, values = failed
    evidence = {"rule": promotion.GOLD_RULE, "stage": stage.value, "values": list(values)}
    # The person reads the reason, and learns from it neither which images were gold nor how many.
    reason = f"{promotion.GOLD_RULE}: the answers of late were not good enough"
    try:
        with db.begin() as conn:
            service.suspend(conn, worker_id, by=None, reason=reason, evidence=evidence)
    except Problem as problem:
        log.warning("not_suspended", worker=worker_id, code=problem.code)
        return 0
    return 1


def _propose(
    conn: Connection, policy: Policy, person: Person, scores: Mapping[Stage, Score], now: datetime
) -> Outcome:
    career = _career(conn, person, scores)
    suggestion = promotion.suggest(career, policy, now)
    standing = proposal_queries.open_proposal_of(conn, person.id)
    if standing is not None:
        if suggestion is not None and _same(standing, suggestion):
            return Outcome()
        if suggestion is None and standing.evidence.get("rule") == exams.RULE:
            return Outcome()
        withdrawn = proposal_queries.close(
            conn, standing.id, ProposalState.WITHDRAWN, by=None, reason="it no longer holds", at=now
        )
        outcome = Outcome(withdrawn=int(withdrawn))
    else:
        outcome = Outcome()
    if suggestion is None:
        return outcome
    made = proposal_queries.insert(conn, person.id, suggestion.old, suggestion.new, _told(suggestion), now)
    return outcome.plus(Outcome(proposed=int(made)))


def _career(conn: Connection, person: Person, scores: Mapping[Stage, Score]) -> Career:
    changed = proposal_queries.last_change(conn, person.id)
    dismissed_at = proposal_queries.dismissed_at(conn, person.id)
    moments = [moment for moment in (changed.at if changed else None, dismissed_at) if moment is not None]
    seen = (changed.evidence or {}).get("stages", {}) if changed else {}
    return Career(
        grade=person.grade,
        scores=scores,
        changed_at=max(moments, default=None),
        judged_then={Stage(stage): figures["n"] for stage, figures in seen.items()},
        exams=exams.passed_stages(conn, person.id),
    )


def _same(standing: ProposalRow, suggestion: Suggestion) -> bool:
    return (standing.old_grade, standing.new_grade) == (suggestion.old, suggestion.new)


def _told(suggestion: Suggestion) -> dict[str, Any]:
    return {
        "rule": suggestion.rule,
        "stages": {stage.value: asdict(figures) for stage, figures in suggestion.figures.items()},
    }
