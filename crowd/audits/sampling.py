"""How large a sample has to be, and what a sample says of its lot: exact arithmetic on whole numbers. PURE.

Acceptance sampling by attributes from a finite lot, drawn without replacement, so the hypergeometric
distribution: D. C. Montgomery, "Introduction to Statistical Quality Control", chapter 15. The bounds turn the
test round, as C. J. Clopper and E. S. Pearson did for the binomial ("The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26, 1934, 404-413).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from crowd.tiers.score import beta_quantile

# Of a larger sample nobody would see the end; who wants one that is smaller can bear a higher rate.
MOST_SAMPLED = 5000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Each holds with the confidence asked for (one-sided); shares of 0..1."""

    lower: float
    upper: float


def share(number: float) -> Fraction:
    """A share as its decimal digits say it: 0.95 is 19/20, not the nearest binary number."""
    return Fraction(repr(number))


def most_tolerable(lot: int, tolerable_rate: float) -> int:
    """How many wrong images a lot may hold at most."""
    return math.floor(share(tolerable_rate) * lot)


def sample_size(lot: int, tolerable_rate: float, confidence: float, allowed: int) -> int | None:
    """The smallest sample with which a lot beyond the tolerable rate passes with at most 1 - `confidence`.

    A lot passes with up to `allowed` wrong images in the sample. 1 ≤ lot; as many as a tolerable lot may hold
    at most are allowed, so that a sample that is the whole lot always decides. None: beyond MOST_SAMPLED.
    """
    too_many = most_tolerable(lot, tolerable_rate) + 1
    allowed = min(allowed, too_many - 1)
    risk = 1 - share(confidence)
    # From below, since the numbers grow with the sample.
    too_few, enough = 0, 1
    while enough < lot and chance_of_at_most(allowed, lot, too_many, enough) > risk:
        if enough >= MOST_SAMPLED:
            return None
        too_few, enough = enough, min(lot, 2 * enough, MOST_SAMPLED)
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if chance_of_at_most(allowed, lot, too_many, middle) <= risk:
            enough = middle
        else:
            too_few = middle
    return enough


def chance_of_at_most(most: int, lot: int, wrong: int, drawn: int) -> Fraction:
    """The chance that a sample of `drawn` has at most `most` of the `wrong` images of a lot."""
    fewest = max(0, drawn - (lot - wrong))
    if most < fewest:
        return Fraction(0)
    ways = 0
    term = math.comb(wrong, fewest) * math.comb(lot - wrong, drawn - fewest)
    for found in range(fewest, min(most, drawn, wrong) + 1):
        ways += term
        term = term * (wrong - found) * (drawn - found) // ((found + 1) * (lot - wrong - drawn + found + 1))
    return Fraction(ways, math.comb(lot, drawn))


@lru_cache(maxsize=1024)
def lot_bounds(lot: int, judged: int, wrong: int, confidence: float) -> Bounds:
    """Between which shares the wrong images of the whole lot lie, by a sample of it.

    The upper bound is within the tolerable rate exactly when no more than the allowed were wrong in a sample
    of `sample_size`.
    """
    risk = 1 - share(confidence)
    # What a lot holds at least and at most whatever the sample left out.
    least, most = wrong, lot - (judged - wrong)
    upper = _last(least, most, lambda held: chance_of_at_most(wrong, lot, held, judged) > risk)
    rarer = _last(least - 1, most, lambda held: _chance_of_at_least(wrong, lot, held, judged) <= risk)
    return Bounds((rarer + 1) / lot, upper / lot)


def rate_bounds(judged: int, wrong: int, confidence: float) -> Bounds:
    """Clopper and Pearson's bounds of a rate of which nothing is known but the sample."""
    risk = 1.0 - confidence
    lower = beta_quantile(risk, wrong, judged - wrong + 1) if wrong else 0.0
    upper = beta_quantile(confidence, wrong + 1, judged - wrong) if wrong < judged else 1.0
    return Bounds(lower, upper)


def _chance_of_at_least(least: int, lot: int, wrong: int, drawn: int) -> Fraction:
    return 1 - chance_of_at_most(least - 1, lot, wrong, drawn)


def _last(first: int, last: int, holds: Callable[[int], bool]) -> int:
    """The last number for which it still holds; it holds of `first`, and of none beyond one of which not."""
    beyond = last + 1
    while beyond - first > 1:
        middle = (first + beyond) // 2
        if holds(middle):
            first = middle
        else:
            beyond = middle
    return first
