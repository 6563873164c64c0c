"""Agreement about scores: Cohen's kappa with quadratic weights, and how sure it is. PURE."""

import math
import statistics
from collections.abc import Sequence

Pairs = Sequence[tuple[float, float]]

# So little is what additions of halves leave of nothing.
_NOTHING = 1e-9


def quadratic_kappa(pairs: Pairs) -> float | None:
    """The agreement of two people's scores; medians between two points of the scale are taken as they are.

    None where neither of the two ever differs from one and the same score.
    """
    return _kappa(len(pairs), *_sums(pairs))


def kappa_error(pairs: Pairs) -> float:
    """The standard error of `quadratic_kappa`, by the jackknife: how much each pair alone moves it.

    Where one pair is all that there is to agree about, leaving it out counts as full agreement: the error is
    large then, as it should be.
    """
    n = len(pairs)
    if n < 2:
        return math.inf
    x, y, squares, apart = _sums(pairs)
    left = [_kappa(n - 1, x - a, y - b, squares - a * a - b * b, apart - (a - b) * (a - b)) for a, b in pairs]
    known = [1.0 if each is None else each for each in left]
    middle = statistics.fmean(known)
    return math.sqrt((n - 1) / n * math.fsum((each - middle) ** 2 for each in known))


def _kappa(n: int, x: float, y: float, squares: float, apart: float) -> float | None:
    by_chance = squares - 2 * x * y / n
    return 1 - apart / by_chance if by_chance > _NOTHING else None


def _sums(pairs: Pairs) -> tuple[float, float, float, float]:
    """The sums of either's scores, of all their squares, and of squared distances."""
    x = y = squares = apart = 0.0
    for a, b in pairs:
        x += a
        y += b
        squares += a * a + b * b
        apart += (a - b) * (a - b)
    return x, y, squares, apart
