"""How far somebody is from the next grade, stage by stage, as the promotion rule counts. PURE."""

from dataclasses import dataclass
from datetime import datetime

from crowd.policy import Grade, Policy, Stage
from crowd.tiers.promotion import Career, cools_until
from crowd.tiers.score import Score, figures


@dataclass(frozen=True, slots=True)
class StageOutlook:
    """What the rule wants of a stage, and what there is; the bounds are None where nothing was judged."""

    stage: Stage
    judged: int
    judged_wanted: int
    lower: float | None
    lower_wanted: float
    upper: float | None
    upper_wanted: float
    needed: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where somebody stands; `exam` is the one that the next grade asks for, `not_before` the cool-down."""

    grade: Grade
    next_grade: Grade | None
    below: Grade | None
    stages: tuple[StageOutlook, ...]
    exam: Stage | None
    exam_passed: bool
    not_before: datetime | None


def outlook(career: Career, policy: Policy, now: datetime) -> Outlook:
    """Where the person of this career stands towards the next grade."""
    new = policy.promotions.get(career.grade)
    excels = new is not None and Stage.SECOND_REVIEW in policy.stages_for(new)
    exam = Stage.SECOND_REVIEW if excels and policy.quality.excellent_needs_exam else None
    return Outlook(
        grade=career.grade,
        next_grade=new,
        below=policy.demotions.get(career.grade),
        stages=tuple(
            _at_stage(career, stage, policy, excels=excels) for stage in policy.stages_for(career.grade)
        ),
        exam=exam,
        exam_passed=exam in career.exams,
        not_before=cools_until(career, policy.quality, now),
    )


def _at_stage(career: Career, stage: Stage, policy: Policy, *, excels: bool) -> StageOutlook:
    numbers = policy.quality
    score = career.scores.get(stage, Score())
    known = figures(score, numbers) if score.n else None
    # Who may review rises by reviews; an inspector is asked for more of them, and of all of them.
    reviews = stage is Stage.FIRST_REVIEW
    since = max(0, score.n - career.judged_then.get(stage, 0))
    return StageOutlook(
        stage=stage,
        judged=score.n if reviews and excels else since,
        judged_wanted=numbers.excellent_judged if reviews and excels else int(numbers.least_judged),
        lower=known.lower if known else None,
        lower_wanted=numbers.excellent_above if reviews and excels else numbers.promote_above,
        upper=known.upper if known else None,
        upper_wanted=numbers.demote_below,
        needed=reviews,
    )
