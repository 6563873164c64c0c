"""Who should be of which grade, by the bounds of their scores, and who must stop at once. PURE.

A grade rises when even the lower bound is good enough, and falls only when even the upper bound is not:
the span between the two keeps people from going up and down.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from crowd.policy import Grade, Policy, Stage
from crowd.policy.sections import QualityPolicy
from crowd.tiers.score import Figures, Score, beta_share, figures

# Raised when the rules change, so that a row of the history says which one it went by.
BOUNDS_RULE = "bounds-1"
GOLD_RULE = "gold-1"


@dataclass(frozen=True, slots=True)
class Career:
    """What the rule looks at: somebody's grade and scores, and the stages whose exam they passed.

    `changed_at`: when their grade last changed, or a proposal was dismissed; `judged_then`: how many of
    their answers had been judged by their last change of grade.
    """

    grade: Grade
    scores: Mapping[Stage, Score]
    changed_at: datetime | None = None
    judged_then: Mapping[Stage, int] = field(default_factory=dict)
    exams: frozenset[Stage] = frozenset()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Another grade for somebody, and the figures that speak for it, by stage."""

    old: Grade
    new: Grade
    figures: Mapping[Stage, Figures]
    rule: str = BOUNDS_RULE


def suggest(career: Career, policy: Policy, now: datetime) -> Suggestion | None:
    """Another grade, or None: too little judged, too soon after the last change, or nothing to change."""
    judged = _judged(career, policy)
    if not judged or cools_until(career, policy.quality, now):
        return None
    new = None
    if any(is_below(score, policy.quality) for score in judged.values()):
        new = policy.demotions.get(career.grade)
    elif all(is_above(score, policy.quality, policy.quality.promote_above) for score in judged.values()):
        new = _next_grade(career, judged, policy)
    if new is None:
        return None
    return Suggestion(
        career.grade, new, {stage: figures(score, policy.quality) for stage, score in judged.items()}
    )


def version(policy: Policy) -> str:
    """A short name for the numbers that the rules go by: what bears one name came about by the same ones."""
    numbers = {
        "quality": asdict(policy.quality),
        "gold": asdict(policy.gold),
        "promotions": dict(policy.promotions),
        "demotions": dict(policy.demotions),
        "grades": {stage: sorted(rules.grades) for stage, rules in policy.stages.items()},
    }
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:8]


def cools_until(career: Career, numbers: QualityPolicy, now: datetime) -> datetime | None:
    """The end of somebody's cool-down; None: they are in none."""
    if career.changed_at is None:
        return None
    until = career.changed_at + timedelta(days=numbers.cool_down_days)
    return until if until > now else None


def is_gated(grade: Grade, policy: Policy) -> bool:
    """Whether the exam is only one of the things that this grade takes: alone it speaks for nobody."""
    return policy.quality.excellent_needs_exam and Stage.SECOND_REVIEW in policy.stages_for(grade)


def is_above(score: Score, numbers: QualityPolicy, bar: float) -> bool:
    """Whether the lower bound reaches the bar; the same as comparing the two, and much quicker."""
    return _share_below(score, numbers, bar) <= numbers.lower_quantile


def is_below(score: Score, numbers: QualityPolicy) -> bool:
    """Whether the upper bound lies below the bar of demotion."""
    return _share_below(score, numbers, numbers.demote_below) > numbers.upper_quantile


def fails_gold(newest_first: Sequence[float], numbers: QualityPolicy) -> bool:
    """Whether somebody's latest answers on gold (values 0..1) are so bad that they must stop at once."""
    window = newest_first[: int(numbers.gold_window)]
    return len(window) >= numbers.gold_least and sum(window) / len(window) < numbers.gold_floor


def _share_below(score: Score, numbers: QualityPolicy, bar: float) -> float:
    if not 0.0 < bar < 1.0:
        return min(max(bar, 0.0), 1.0)
    return beta_share(bar, numbers.prior_good + score.good, numbers.prior_bad + score.bad)


def _judged(career: Career, policy: Policy) -> dict[Stage, Score]:
    """The stages of the grade where enough was judged, and enough since the last change."""
    return {
        stage: score
        for stage in policy.stages_for(career.grade)
        if (score := career.scores.get(stage)) is not None
        and score.n - career.judged_then.get(stage, 0) >= policy.quality.least_judged
    }


def _next_grade(career: Career, judged: Mapping[Stage, Score], policy: Policy) -> Grade | None:
    new = policy.promotions.get(career.grade)
    if new is None or not _has_reviewed(career.grade, judged, policy):
        return None
    if Stage.SECOND_REVIEW in policy.stages_for(new) and not _is_excellent(career, judged, policy.quality):
        return None
    return new


def _has_reviewed(grade: Grade, judged: Mapping[Stage, Score], policy: Policy) -> bool:
    """Who may review rises by reviews, not by labels alone."""
    return Stage.FIRST_REVIEW not in policy.stages_for(grade) or Stage.FIRST_REVIEW in judged


def _is_excellent(career: Career, judged: Mapping[Stage, Score], numbers: QualityPolicy) -> bool:
    score = judged.get(Stage.FIRST_REVIEW)
    if score is None or score.n < numbers.excellent_judged:
        return False
    if numbers.excellent_needs_exam and Stage.SECOND_REVIEW not in career.exams:
        return False
    return is_above(score, numbers, numbers.excellent_above)
