"""Whether what comes in looks different from what came before, to a model that serves. PURE.

The population stability index (Siddiqi: Credit Risk Scorecards, 2006; 0.25 and more counts as a shift) of the
model's first answers: a supplier's week beside everything else. Of few images it is large by chance alone:
times N M / (N + M) it is about chi-squared with one degree of freedom less than there are answers (Yurdakul:
Statistical Properties of Population Stability Index, 2018), so it has to pass that as well.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

SHIFTED = 0.25
LEAST_IMAGES = 30
# Standard deviations of that distribution above its mean.
SURE = 4.0
SMALLEST_COUNT = 0.5


@dataclass(frozen=True, slots=True)
class Drift:
    """The index, what chance alone would give at the most, and the answer whose share moved most."""

    index: float
    by_chance: float
    images: int
    moved: str

    @property
    def is_shift(self) -> bool:
        """Whether it is more than chance, and enough to matter."""
        return self.index >= SHIFTED and self.index > self.by_chance


def drift(here: Mapping[str, int], elsewhere: Mapping[str, int]) -> Drift | None:
    """Of the answers counted here beside those elsewhere; None where there are too few."""
    count, other = sum(here.values()), sum(elsewhere.values())
    if count < LEAST_IMAGES or other < LEAST_IMAGES:
        return None
    names = sorted({*here, *elsewhere})
    share = {name: max(here.get(name, 0), SMALLEST_COUNT) / count for name in names}
    usual = {name: max(elsewhere.get(name, 0), SMALLEST_COUNT) / other for name in names}
    terms = {name: (share[name] - usual[name]) * math.log(share[name] / usual[name]) for name in names}
    freedom = max(len(names) - 1, 1)
    by_chance = (freedom + SURE * math.sqrt(2 * freedom)) * (1 / count + 1 / other)
    return Drift(sum(terms.values()), by_chance, count, max(terms, key=lambda name: (terms[name], name)))
