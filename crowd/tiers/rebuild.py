"""Scores reckoned anew from all evidence: with the severities of a new fit, or as they were.

One short transaction a person, so that work goes on meanwhile: each score says by which fit it was
reckoned, and whatever comes in follows it.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from crowd.core.db import Database
from crowd.policy import Policy
from crowd.policy.sections import QualityPolicy
from crowd.tiers import quality_queries as queries
from crowd.tiers import severity
from crowd.tiers.evidence import refold
from crowd.tiers.quality_queries import Standing
from crowd.tiers.severity import Severity

BATCH = 500
# Raised when the arithmetic changes.
ARITHMETIC = "beta-1"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many scores were reckoned anew, how many came out otherwise, and how many reviewers were fitted."""

    scores: int
    changed: int
    reviewers: int


def refit(db: Database, policy: Policy, now: datetime) -> Rebuilt:
    """Fit the reviewers' severity to all reviews so far, and reckon every score with it."""
    with db.begin() as conn:
        up_to = queries.horizon(conn)
    with db.snapshot() as conn:
        found = _fit(conn, policy, up_to)
    with db.begin() as conn:
        # Both at once: a score must never go by a fit of which nothing is known yet.
        fit_id = queries.insert_fit(conn, now, up_to, rule_name(policy.quality))
        queries.write_severities(conn, fit_id, found)
    scores, changed = _refold_all(db, policy, fit_id)
    with db.begin() as conn:
        queries.forget_severities(conn, fit_id)
    return Rebuilt(scores, changed, len(found))


def rebuild(db: Database, policy: Policy) -> Rebuilt:
    """Reckon the newest fit and every score anew, from the evidence that they were reckoned from.

    Whatever had happened to the derived tables, the figures come out the same to the last digit.
    """
    with db.snapshot() as conn:
        newest = queries.latest_fit(conn)
        found = _fit(conn, policy, newest.up_to) if newest else {}
    if newest:
        with db.begin() as conn:
            queries.write_severities(conn, newest.id, found)
    scores, changed = _refold_all(db, policy, newest.id if newest else None)
    return Rebuilt(scores, changed, len(found))


def rule_name(numbers: QualityPolicy) -> str:
    """A name for the arithmetic and its numbers: two fits of one name go by the same rule."""
    text = repr(sorted(asdict(numbers).items()))
    return f"{ARITHMETIC}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _fit(conn: Connection, policy: Policy, up_to: int) -> dict[int, Severity]:
    pairs = queries.reviewed_pairs(conn, up_to)
    return severity.fit(pairs, queries.comparisons(conn, up_to), policy.quality)


def _refold_all(db: Database, policy: Policy, fit_id: int | None) -> tuple[int, int]:
    scores = changed = after = 0
    while True:
        with db.read() as conn:
            batch = queries.people(conn, after, BATCH)
        for worker_id in batch:
            with db.begin() as conn:
                of_person = _refold_person(conn, policy, worker_id, fit_id)
            scores += len(of_person)
            changed += sum(of_person)
        if len(batch) < BATCH:
            return scores, changed
        after = batch[-1]


def _refold_person(conn: Connection, policy: Policy, worker_id: int, fit_id: int | None) -> list[bool]:
    """For each score of a person's whether it came out otherwise."""
    stages = queries.stages_with_evidence(conn, worker_id)
    if not stages:
        return []
    # All at once and in order, like whoever records: one after the other they could be taken crosswise.
    before = queries.lock_scores(conn, [(worker_id, stage) for stage in stages])
    return [
        before[worker_id, stage] != Standing(fit_id, refold(conn, policy, worker_id, stage, fit_id))
        for stage in stages
    ]
