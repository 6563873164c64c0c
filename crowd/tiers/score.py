"""The arithmetic of quality scores: evidence of a value and a weight, folded into a Beta distribution. PURE.

docs/quality.md tells where the formula comes from and what its numbers are.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from crowd.policy import Stage
from crowd.policy.sections import QualityPolicy


class Kind(StrEnum):
    """Where evidence comes from."""

    GOLD = "gold"
    AGREEMENT = "agreement"
    REVIEW = "review"
    BOUNCE = "bounce"
    PRE_CHECK = "pre_check"
    # Somebody uninvolved judged again, blind, and found otherwise.
    APPEAL = "appeal"


# These weigh as much as whoever judged is to be trusted.
JUDGED = frozenset({Kind.REVIEW, Kind.BOUNCE})

# What a review's score says of each stage's labels, from 1 to 5 (the guideline's scale: at 2 an attribute
# differs, at 3 the style). Nothing of the segmentation: its author is judged when it is to blame.
OF_SCORE: dict[Stage, tuple[float, float, float, float, float]] = {
    Stage.ATTRIBUTES: (0.0, 0.0, 1.0, 0.8, 1.0),
    Stage.STYLES: (0.0, 0.0, 0.0, 0.8, 1.0),
}


@dataclass(frozen=True, slots=True)
class Judge:
    """How far a reviewer's scores lie above what others give, and what the reviewer's word weighs."""

    bias: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One judgement of one answer.

    `worker_id` gave the answer to `task_id` at `stage`. `value` 0..1: how good it was; `weight`: how much
    that weighs, gold being 1. `judge_id` judged; a review or a bounce weighs as much less as its judge is
    to be trusted. `score` is a review's own 1..5, from which `value` is reckoned again with every fit.
    `against`: what the experts gave (1..5) where `worker_id` is a reviewer and `score` theirs.
    `opens`: it judges the answer for the first time; what follows adds weight, but no answer.
    Evidence of no weight counts nowhere but in the fit of severity.
    """

    worker_id: int
    stage: Stage
    kind: Kind
    value: float
    weight: float
    task_id: int
    at: datetime
    judge_id: int | None = None
    score: int | None = None
    image_id: int | None = None
    against: float | None = None
    opens: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Evidence):
    """A piece of evidence that was kept, by its row's id."""

    id: int


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of evidence as it counts, of a value 0..1; `opens`: it is the first about its answer."""

    value: float
    weight: float
    opens: bool
    gold: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Score:
    """What is known of somebody's answers at a stage: `n` judged ones, the decayed weight of good and bad.

    `told_…` is the same without gold: all that the person may know. `day_…` and `told_day_…` are what stood
    when the day (UTC) of `at`, the last evidence, began.
    """

    n: int = 0
    gold_n: int = 0
    good: float = 0.0
    bad: float = 0.0
    at: datetime | None = None
    day_n: int = 0
    day_good: float = 0.0
    day_bad: float = 0.0
    told_n: int = 0
    told_good: float = 0.0
    told_bad: float = 0.0
    told_day_n: int = 0
    told_day_good: float = 0.0
    told_day_bad: float = 0.0

    def as_told(self, day: datetime) -> "Score":
        """What the person may know on the day (UTC) of the moment `day`: as it began, and without gold."""
        if self.at is None or self.at.date() < day.date():
            return Score(self.told_n, 0, self.told_good, self.told_bad)
        return Score(self.told_day_n, 0, self.told_day_good, self.told_day_bad)


@dataclass(frozen=True, slots=True)
class Figures:
    """A score in numbers: the mean by which people are ranked, and the bounds by which they are graded."""

    score: float
    lower: float
    upper: float
    n: int


def value_of_review(stage: Stage, score: float) -> float:
    """What a review's score says of a stage, 0..1; corrected for severity it is anywhere from 1 to 5."""
    table = OF_SCORE[stage]
    place = min(max(score, 1.0), 5.0) - 1.0
    step = min(int(place), 3)
    return table[step] + (place - step) * (table[step + 1] - table[step])


def item_of(evidence: Any, judge: Judge | None) -> Item:
    """A piece of evidence, or its row, as it counts by its judge's severity and weight; None: no judge."""
    value, weight = evidence.value, evidence.weight
    if judge is not None and evidence.kind in JUDGED:
        weight *= judge.weight
        if evidence.kind is Kind.REVIEW and evidence.score is not None and evidence.stage in OF_SCORE:
            value = value_of_review(evidence.stage, evidence.score - judge.bias)
    return Item(value, weight, evidence.opens, evidence.kind is Kind.GOLD, evidence.at)


def fold(items: Iterable[Item], numbers: QualityPolicy, start: Score | None = None) -> Score:
    """The score after `items`, in their order, on top of `start`."""
    score = start or Score()
    for item in items:
        score = step(score, item, numbers)
    return score


def step(score: Score, item: Item, numbers: QualityPolicy) -> Score:
    """The score after one more piece of evidence. What weighs nothing changes nothing."""
    if item.weight <= 0.0:
        return score
    begun = score.day_n, score.day_good, score.day_bad
    told_begun = score.told_day_n, score.told_day_good, score.told_day_bad
    told = score.told_n, score.told_good, score.told_bad
    if score.at is not None and score.at.date() < item.at.date():
        begun, told_begun = (score.n, score.good, score.bad), told
    n, good, bad = _added((score.n, score.good, score.bad), item, numbers)
    if not item.gold:
        told = _added(told, item, numbers)
    return Score(
        n=n,
        gold_n=score.gold_n + item.gold,
        good=good,
        bad=bad,
        at=item.at,
        day_n=begun[0],
        day_good=begun[1],
        day_bad=begun[2],
        told_n=told[0],
        told_good=told[1],
        told_bad=told[2],
        told_day_n=told_begun[0],
        told_day_good=told_begun[1],
        told_day_bad=told_begun[2],
    )


def _added(sums: tuple[int, float, float], item: Item, numbers: QualityPolicy) -> tuple[int, float, float]:
    """How many were judged, and the weights of good and bad, with one more piece of evidence."""
    n, good, bad = sums
    kept = _decay(numbers.half_life) if item.opens else 1.0
    return n + item.opens, good * kept + item.weight * item.value, bad * kept + item.weight * (1 - item.value)


@lru_cache(maxsize=8)
def _decay(half_life: float) -> float:
    return float(2.0 ** (-1.0 / half_life))


def figures(score: Score, numbers: QualityPolicy) -> Figures:
    """A score in numbers."""
    good, bad = numbers.prior_good + score.good, numbers.prior_bad + score.bad
    return Figures(
        score=good / (good + bad),
        lower=beta_quantile(numbers.lower_quantile, good, bad),
        upper=beta_quantile(numbers.upper_quantile, good, bad),
        n=score.n,
    )


def beta_quantile(share: float, a: float, b: float) -> float:
    """Below which x lies `share` (0..1, exclusive) of the Beta(a, b) distribution.

    Newton's steps on the distribution function, kept within a bracket that bisection narrows.
    """
    low, high, x = 0.0, 1.0, a / (a + b)
    log_b = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    for _ in range(100):
        excess = beta_share(x, a, b) - share
        low, high = (low, x) if excess > 0.0 else (x, high)
        slope = math.exp((a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x) - log_b)
        guess = x - excess / slope if slope > 0.0 else -1.0
        following = guess if low < guess < high else (low + high) / 2.0
        if abs(following - x) <= 1e-13 or high - low <= 1e-15:
            return following
        x = following
    return x


def beta_share(x: float, a: float, b: float) -> float:
    """The distribution function of Beta(a, b) at x in (0, 1): the regularized incomplete beta function.

    By the continued fraction of https://dlmf.nist.gov/8.17.E22, which converges fast left of the mean;
    right of it the function's symmetry (8.17.E4) is used.
    """
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_share(1.0 - x, b, a)
    log_front = (
        a * math.log(x)
        + b * math.log1p(-x)
        - math.log(a)
        - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    )
    return math.exp(log_front) * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + …))), from the front: Lentz's method, changed by Thompson and Barnett."""
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for place in range(500):
        term = 1.0 if place == 0 else _coefficient(place, x, a, b)
        d = 1.0 + term * d
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = 1.0 + term / c
        c = c if abs(c) > tiny else tiny
        value *= c * d
        if place and abs(1.0 - c * d) < 1e-16:
            break
    return value - 1.0


def _coefficient(place: int, x: float, a: float, b: float) -> float:
    m, odd = divmod(place, 2)
    if odd:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
