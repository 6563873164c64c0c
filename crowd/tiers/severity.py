"""How severe reviewers are, and how far their word is to be trusted. PURE.

A ridge regression of their scores on who was judged and who judged, and a quadratic-weighted kappa against
what the experts gave. Everything is reckoned from whole sums, so that no order of rows makes a difference.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from crowd.policy.sections import QualityPolicy
from crowd.tiers.score import Judge

# Whose answers were reviewed: any word for a person at a stage that can be sorted.
Author: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """The reviews that one reviewer gave of one author: how many, and the sum of their scores."""

    author: Author
    reviewer: int
    reviews: int
    total: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A reviewer's scores x beside the experts' y of the same answers, both in half points: sums over n."""

    n: int = 0
    x: int = 0
    y: int = 0
    xx: int = 0
    yy: int = 0
    xy: int = 0

    def plus(self, own: float, experts: float) -> "Comparison":
        """The comparison with one more answer; scores in points, whole or half."""
        x, y = round(2 * own), round(2 * experts)
        return Comparison(
            self.n + 1, self.x + x, self.y + y, self.xx + x * x, self.yy + y * y, self.xy + x * y
        )


@dataclass(frozen=True, slots=True)
class Severity:
    """What a fit finds of a reviewer.

    `bias`: points above what others give the same authors. `kappa` and `offset`: agreement with the experts
    and points above them, over `compared` answers (None: unknown). `weight`: what the reviewer's word weighs.
    """

    bias: float
    weight: float
    kappa: float | None
    offset: float | None
    compared: int
    reviews: int


def fit(
    pairs: Sequence[Pair], comparisons: Mapping[int, Comparison], numbers: QualityPolicy
) -> dict[int, Severity]:
    """Every reviewer's severity and weight, by their id."""
    weights = {one: trust(comparisons.get(one), numbers) for one in {pair.reviewer for pair in pairs}}
    weights |= {one: trust(comparison, numbers) for one, comparison in comparisons.items()}
    biases = fit_biases(pairs, weights, numbers)
    reviews: dict[int, int] = defaultdict(int)
    for pair in pairs:
        reviews[pair.reviewer] += pair.reviews
    return {
        one: Severity(
            bias=biases.get(one, 0.0),
            weight=weights[one],
            kappa=kappa(comparisons[one]) if one in comparisons else None,
            offset=_offset(comparisons[one]) if one in comparisons else None,
            compared=comparisons[one].n if one in comparisons else 0,
            reviews=reviews[one],
        )
        for one in sorted(weights)
    }


def fit_biases(
    pairs: Iterable[Pair], weights: Mapping[int, float], numbers: QualityPolicy
) -> dict[int, float]:
    """The b of y = m + a(author) + b(reviewer), both drawn towards 0, by as many sweeps as policy says."""
    pairs = sorted(pairs, key=lambda pair: (pair.author, pair.reviewer))
    reviews = sum(pair.reviews for pair in pairs)
    if not reviews:
        return {}
    mean = sum(pair.total for pair in pairs) / reviews
    of_author: dict[Author, float] = dict.fromkeys((pair.author for pair in pairs), 0.0)
    of_reviewer: dict[int, float] = dict.fromkeys(sorted({pair.reviewer for pair in pairs}), 0.0)
    for _ in range(int(numbers.sweeps)):
        of_author = _sweep(
            (
                (
                    pair.author,
                    weights[pair.reviewer] * pair.reviews,
                    weights[pair.reviewer]
                    * (pair.total - pair.reviews * (mean + of_reviewer[pair.reviewer])),
                )
                for pair in pairs
            ),
            numbers.author_ridge,
        )
        of_reviewer = _sweep(
            (
                (
                    pair.reviewer,
                    weights[pair.reviewer] * pair.reviews,
                    weights[pair.reviewer] * (pair.total - pair.reviews * (mean + of_author[pair.author])),
                )
                for pair in pairs
            ),
            numbers.reviewer_ridge,
        )
    return of_reviewer


def _sweep(
    rows: Iterable[tuple[Author, float, float]] | Iterable[tuple[int, float, float]], ridge: float
) -> dict:  # type: ignore[type-arg]
    weights: dict[object, float] = defaultdict(float)
    sums: dict[object, float] = defaultdict(float)
    for key, weight, total in rows:
        weights[key] += weight
        sums[key] += total
    return {key: sums[key] / (weights[key] + ridge) for key in weights}


def kappa(comparison: Comparison) -> float | None:
    """Quadratic-weighted kappa; None of no answers, and where neither side ever varied.

    1 - (mean squared difference) / (the same if the two sides were independent).
    """
    n = comparison.n
    if not n:
        return None
    apart = comparison.xx - 2 * comparison.xy + comparison.yy
    by_chance = comparison.xx + comparison.yy - 2 * comparison.x * comparison.y / n
    return 1.0 - apart / by_chance if by_chance > 0 else None


def trust(comparison: Comparison | None, numbers: QualityPolicy) -> float:
    """What a reviewer's word weighs: kappa, drawn towards its prior and squared."""
    found = kappa(comparison) if comparison else None
    if comparison is None or found is None:
        return _squared(numbers.kappa_prior)
    n, prior_n = comparison.n, numbers.kappa_prior_n
    return _squared((n * found + prior_n * numbers.kappa_prior) / (n + prior_n))


def unknown_judge(numbers: QualityPolicy) -> Judge:
    """A judge of whom no fit knows anything."""
    return Judge(bias=0.0, weight=trust(None, numbers))


def _squared(agreement: float) -> float:
    return min(max(agreement, 0.0), 1.0) ** 2


def _offset(comparison: Comparison) -> float | None:
    return (comparison.x - comparison.y) / (2 * comparison.n) if comparison.n else None
