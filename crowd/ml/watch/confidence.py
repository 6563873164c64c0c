"""Which labels a model doubts: confident learning on what it said before anybody labelled. PURE.

Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels, arXiv:1911.00068
(JAIR 70, 2021), section 3.1. A class's threshold is the mean score that it gets where it is the label; a
label is doubted if another class reaches its own threshold, of several the likeliest. Candidates are made
before a task is answered, so the model has not learnt from the label that it is asked about.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

# A threshold is the mean of at least so many labels.
LEAST_LABELS = 10
# The mean of equal scores may come out a hair above each of them.
HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the model would say instead, and by how much more it believes that (0 to 1)."""

    proposed: str
    margin: float


def thresholds(
    labels: Mapping[str, int], scores: Mapping[str, float], least: int = LEAST_LABELS
) -> dict[str, float]:
    """By class the mean of its own score, from how many labels it has and the sum of their scores."""
    return {name: scores[name] / count for name, count in labels.items() if count >= least}


def doubt(
    given: str, scores: Mapping[str, float], limits: Mapping[str, float], also: Collection[str] = ()
) -> Doubt | None:
    """What is to be said against the label `given`, if anything; classes in `also` hold beside it."""
    confident = {
        name: score for name, score in scores.items() if name in limits and score >= limits[name] - HAIR
    }
    if not confident:
        return None
    proposed = max(confident, key=lambda name: (confident[name], name))
    if proposed == given or proposed in also:
        return None
    margin = confident[proposed] - scores.get(given, 0.0)
    return Doubt(proposed, margin) if margin > 0 else None
