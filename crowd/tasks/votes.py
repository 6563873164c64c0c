"""What several experts' main styles add up to: a majority, or how likely each style is. PURE."""

import math
from collections import Counter
from collections.abc import Sequence


def majority(votes: Sequence[str]) -> str | None:
    """The style that more than half of the votes name, or None."""
    style, count = Counter(votes).most_common(1)[0]
    return style if 2 * count > len(votes) else None


def likeliest(votes: Sequence[str], aims: Sequence[float], alike: int) -> tuple[str, float]:
    """The likeliest style and its probability, each vote weighed by how often its expert is right (`aims`).

    Who errs names one of `alike` styles that look much like the true one. Of equals the one named first.
    """
    named = list(dict.fromkeys(votes))
    weights = [_weight(style, votes, aims, alike) for style in named]
    # The styles that look alike and that nobody has named.
    unnamed = max(0, alike + 1 - len(named)) * math.prod((1 - aim) / alike for aim in aims)
    best = max(range(len(named)), key=weights.__getitem__)
    return named[best], weights[best] / (sum(weights) + unnamed)


def _weight(style: str, votes: Sequence[str], aims: Sequence[float], alike: int) -> float:
    return math.prod(
        aim if vote == style else (1 - aim) / alike for vote, aim in zip(votes, aims, strict=True)
    )
