"""Agreement about scores: Cohen's kappa with quadratic weights, and how sure it is. PURE."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Pairs = Sequence[tuple[float, float]]


class _Sums(NamedTuple):
    """What kappa is reckoned from: how many pairs, both sums, those of squares, and of squared distances."""

    n: int
    x: float
    y: float
    xx: float
    yy: float
    apart: float

    def without(self, x: float, y: float) -> "_Sums":
        return _Sums(
            self.n - 1,
            self.x - x,
            self.y - y,
            self.xx - x * x,
            self.yy - y * y,
            self.apart - (x - y) ** 2,
        )

    @property
    def kappa(self) -> float | None:
        by_chance = self.xx + self.yy - 2 * self.x * self.y / self.n
        return 1 - self.apart / by_chance if by_chance > 1e-9 else None


def quadratic_kappa(pairs: Pairs) -> float | None:
    """The agreement of two people's scores; medians between two points of the scale are taken as they are.

    None where neither of the two ever differs from one and the same score.
    """
    return _sums(pairs).kappa


def kappa_error(pairs: Pairs) -> float:
    """The standard error of `quadratic_kappa`, by the jackknife: how much each pair alone moves it.

    Where one pair is all that there is to agree about, leaving it out counts as full agreement: the error is
    large then, as it should be.
    """
    n = len(pairs)
    if n < 2:
        return math.inf
    left = list(_left_out(pairs))
    middle = statistics.fmean(left)
    return math.sqrt((n - 1) / n * sum((each - middle) ** 2 for each in left))


def _left_out(pairs: Pairs) -> Iterator[float]:
    whole = _sums(pairs)
    for x, y in pairs:
        kappa = whole.without(x, y).kappa
        yield 1.0 if kappa is None else kappa


def _sums(pairs: Pairs) -> _Sums:
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    return _Sums(
        len(pairs),
        sum(xs),
        sum(ys),
        sum(x * x for x in xs),
        sum(y * y for y in ys),
        sum((x - y) ** 2 for x, y in pairs),
    )
