"""Whether somebody drifts: what was judged lately beside what was judged before, and gold. PURE."""

from collections.abc import Sequence
from typing import NamedTuple

from crowd.policy.sections import QualityPolicy, RefresherPolicy


class Judged(NamedTuple):
    """A piece of evidence: how good the answer was, 0 to 1, and what that weighs."""

    value: float
    weight: float


def drift(
    newest_first: Sequence[Judged],
    gold_newest_first: Sequence[float],
    numbers: RefresherPolicy,
    quality: QualityPolicy,
) -> dict[str, float] | None:
    """The figures that speak for a refresher; None: nothing does."""
    gold = gold_newest_first[: quality.gold_window]
    if len(gold) >= quality.gold_least and sum(gold) / len(gold) < numbers.gold_bar:
        return {"gold": round(sum(gold) / len(gold), 4), "bar": numbers.gold_bar}
    recent, before = newest_first[: numbers.recent], newest_first[numbers.recent :]
    if len(recent) < numbers.recent or len(before) < numbers.recent:
        return None
    lately, usually = _mean(recent), _mean(before)
    if lately >= usually - numbers.margin:
        return None
    return {"lately": round(lately, 4), "usually": round(usually, 4)}


def _mean(judged: Sequence[Judged]) -> float:
    return sum(each.value * each.weight for each in judged) / sum(each.weight for each in judged)
