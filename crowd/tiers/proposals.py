"""Proposals: the rule says who should be of another grade, and an admin confirms or dismisses it.

Only failed gold acts by itself: it suspends at once, and opens a flag. The rule looks at people outside of
any answer's transaction, since standing is locked before scores everywhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from crowd.tiers import exams, flags, look_queries, promotion, proposal_queries, quality_queries, service
from crowd.tiers.flag_models import FlagCode
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
    """Have the rule look at everybody of whom something new is known, or for whom a cool-down is over.

    Any number of processes may at once.
    """
    with db.read() as conn:
        is_outdated = proposal_queries.any_outdated(conn)
    outcome = Outcome()
    if is_outdated:
        with db.begin() as conn:
            outcome = Outcome(withdrawn=proposal_queries.withdraw_outdated(conn, now))
    for people_beyond in (
        lambda conn, after: proposal_queries.unchecked_people(conn, after, BATCH),
        lambda conn, after: look_queries.due_people(conn, now, after, BATCH),
    ):
        for worker_id in _by_batches(db, people_beyond):
            outcome = outcome.plus(look_at(db, policy, worker_id, now))
    return outcome


def _by_batches(db: Database, people_beyond: Callable[[Connection, int], Sequence[int]]) -> Iterator[int]:
    after = 0
    while True:
        with db.read() as conn:
            batch = people_beyond(conn, after)
        yield from batch
        if len(batch) < BATCH:
            return
        after = batch[-1]


def look_at(db: Database, policy: Policy, worker_id: int, now: datetime) -> Outcome:
    """Have the rule look at one person."""
    with db.read() as conn:
        asked = look_queries.asked(conn, worker_id)
    with db.read() as conn:
        person = people.person(conn, worker_id)
        scores = {stage: each.score for stage, each in quality_queries.scores_of(conn, worker_id).items()}
        failed = _failed_gold(conn, policy, worker_id)
        cools_until = _cools_until(conn, person, policy, now) if person else None
    if person is None:
        return Outcome()
    outcome = Outcome()
    if failed and _is_active(person):
        outcome = Outcome(suspended=_suspend(db, policy, worker_id, failed, now))
    if _is_active(person) and not outcome.suspended:
        with db.begin() as conn:
            outcome = _propose(conn, policy, person, scores, now)
    with db.begin() as conn:
        proposal_queries.mark_checked(conn, worker_id, scores)
    if asked is not None:
        with db.begin() as conn:
            look_queries.looked(conn, worker_id, asked, cools_until)
    return outcome


def _cools_until(conn: Connection, person: Person, policy: Policy, now: datetime) -> datetime | None:
    return promotion.cools_until(_career(conn, person, {}), policy.quality, now)


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
    found = _open_proposal(conn, proposal_id, by)
    # The person before the proposal, as in `confirm`.
    people.lock_standing(conn, found.worker_id)
    look_queries.look_again(conn, found.worker_id, at)
    return _close(conn, found, ProposalState.DISMISSED, by, reason, at)


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


def _suspend(
    db: Database, policy: Policy, worker_id: int, failed: tuple[Stage, Sequence[float]], now: datetime
) -> int:
    """Suspend, and open a flag: once it is confirmed, what the person did can be done again (redo)."""
    stage, values = failed
    evidence = {
        "rule": promotion.GOLD_RULE,
        "policy": promotion.version(policy),
        "stage": stage.value,
        "values": list(values),
    }
    # The person reads the reason, and learns from it neither which images were gold nor how many.
    reason = f"{promotion.GOLD_RULE}: the answers of late were not good enough"
    try:
        with db.begin() as conn:
            service.suspend(conn, worker_id, by=None, reason=reason, evidence=evidence)
            flags.open_flag(conn, worker_id, FlagCode.FAILED_GOLD, stage=stage, evidence=evidence, at=now)
    except Problem as problem:
        log.warning("not_suspended", worker=worker_id, code=problem.code)
        return 0
    return 1


def _propose(
    conn: Connection, policy: Policy, person: Person, scores: Mapping[Stage, Score], now: datetime
) -> Outcome:
    wishes = _wishes(conn, policy, person, scores, now)
    standing = proposal_queries.open_proposal_of(conn, person.id)
    outcome = Outcome()
    if standing is not None:
        if any((standing.old_grade, standing.new_grade) == (wish.old, wish.new) for wish in wishes):
            return outcome
        withdrawn = proposal_queries.close(
            conn, standing.id, ProposalState.WITHDRAWN, by=None, reason="it no longer holds", at=now
        )
        outcome = Outcome(withdrawn=int(withdrawn))
    if not wishes:
        return outcome
    first = wishes[0]
    made = proposal_queries.insert(conn, person.id, first.old, first.new, first.evidence, now)
    return outcome.plus(Outcome(proposed=int(made)))


def _wishes(
    conn: Connection, policy: Policy, person: Person, scores: Mapping[Stage, Score], now: datetime
) -> list[exams.Speech]:
    """What may be proposed for a person, the first thing first: by their scores, then by their exams.

    Who should fall is not to rise by an exam of before.
    """
    suggestion = promotion.suggest(_career(conn, person, scores), policy, now)
    by_exams = exams.speeches(conn, policy, person, now)
    if suggestion is None:
        return by_exams
    by_scores = exams.Speech(suggestion.old, suggestion.new, _told(suggestion, policy))
    if suggestion.new is policy.demotions.get(suggestion.old):
        return [by_scores]
    return [by_scores, *by_exams]


def _career(conn: Connection, person: Person, scores: Mapping[Stage, Score]) -> Career:
    changed = proposal_queries.last_change(conn, person.id)
    dismissed_at = proposal_queries.dismissed_at(conn, person.id)
    moments = [moment for moment in (changed.at if changed else None, dismissed_at) if moment is not None]
    known = (changed.evidence or {}) if changed else {}
    # Rows of before there was `judged` have at least what the rule had gone by.
    before = {stage: figures["n"] for stage, figures in known.get("stages", {}).items()}
    return Career(
        grade=person.grade,
        scores=scores,
        changed_at=max(moments, default=None),
        judged_then={Stage(stage): n for stage, n in known.get("judged", before).items()},
        exams=exams.passed_stages(conn, person.id),
    )


def _told(suggestion: Suggestion, policy: Policy) -> dict[str, Any]:
    return {
        "rule": suggestion.rule,
        "policy": promotion.version(policy),
        "stages": {stage.value: asdict(figures) for stage, figures in suggestion.figures.items()},
    }
