"""How far people agree beyond chance: the arithmetic of κ, AC1, α and MASI. PURE.

Answers come as cells: how often value `a` of one person met value `b` of another, with any weights.
None stands for what is not defined: no pairs, or no two values that could differ.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

V = TypeVar("V", bound=Hashable)
Cells: TypeAlias = Mapping[tuple[V, V], float]
# How far two values lie apart; 0 for equal ones.
Distance: TypeAlias = Callable[[V, V], float]


def nominal(a: object, b: object) -> float:
    """Equal, or not."""
    return float(a != b)


def quadratic(a: float, b: float) -> float:
    """The squared difference of two numbers."""
    return float((a - b) ** 2)


def masi(a: frozenset[str], b: frozenset[str]) -> float:
    """1 - Jaccard's index weighed by how the sets lie: 1 equal, 2/3 one in the other, 1/3 crossing.

    Passonneau, "Measuring Agreement on Set-valued Items (MASI)", LREC 2006.
    """
    common, either = len(a & b), len(a | b)
    if not either:
        return 0.0
    monotonic = 1.0 if a == b else 2 / 3 if a <= b or b <= a else 1 / 3 if common else 0.0
    return 1 - common / either * monotonic


def kappa(cells: Cells[V], distance: Distance[V] = nominal) -> float | None:
    """Cohen's κ of two raters, weighed by `distance` (1968); rows are one rater's values."""
    total = sum(cells.values())
    rows, columns = _margins(cells)
    observed = sum(weight * distance(a, b) for (a, b), weight in cells.items())
    expected = sum(rows[a] * columns[b] * distance(a, b) for a in rows for b in columns)
    return 1 - total * observed / expected if expected else None


def ac1(cells: Cells[V]) -> float | None:
    """Gwet's AC1 of two raters over the values that occur (2008); beside κ, never in its place.

    It stays high where nearly everything has one value, and κ does not.
    """
    total = sum(cells.values())
    rows, columns = _margins(cells)
    values = set(rows) | set(columns)
    if not total or len(values) < 2:
        return None
    observed = sum(weight for (a, b), weight in cells.items() if a == b) / total
    shares = [(rows[value] + columns[value]) / (2 * total) for value in values]
    chance = sum(share * (1 - share) for share in shares) / (len(values) - 1)
    return (observed - chance) / (1 - chance)


def alpha(cells: Cells[V], distance: Distance[V] = nominal) -> float | None:
    """Krippendorff's α from coincidences (`coincidences`), which hold each pair both ways."""
    sums, _ = _margins(cells)
    total = sum(sums.values())
    observed = sum(weight * distance(a, b) for (a, b), weight in cells.items())
    expected = sum(sums[a] * sums[b] * distance(a, b) for a in sums for b in sums)
    return 1 - (total - 1) * observed / expected if expected else None


def ordinal(cells: Cells[int]) -> Distance[int]:
    """Krippendorff's distance between ranks: how many answers lie from one to the other, squared."""
    sums, _ = _margins(cells)

    def distance(a: int, b: int) -> float:
        low, high = min(a, b), max(a, b)
        between = sum(weight for value, weight in sums.items() if low <= value <= high)
        return (between - (sums[a] + sums[b]) / 2) ** 2

    return distance


def coincidences(units: Iterable[Sequence[V]]) -> dict[tuple[V, V], float]:
    """Every pair of values within a unit, both ways, weighed by 1 / (m - 1) for m values."""
    cells: Counter[tuple[V, V]] = Counter()
    for values in units:
        for place, a in enumerate(values):
            for other, b in enumerate(values):
                if place != other:
                    cells[a, b] += 1 / (len(values) - 1)  # type: ignore[assignment]  # counts in parts
    return dict(cells)


def share_equal(cells: Cells[V]) -> float | None:
    """How large a part of the pairs is equal."""
    total = sum(cells.values())
    return sum(weight for (a, b), weight in cells.items() if a == b) / total if total else None


def _margins(cells: Cells[V]) -> tuple[dict[V, float], dict[V, float]]:
    values = {value for pair in cells for value in pair}
    rows: dict[V, float] = dict.fromkeys(values, 0.0)
    columns: dict[V, float] = dict.fromkeys(values, 0.0)
    for (a, b), weight in cells.items():
        rows[a] += weight
        columns[b] += weight
    return rows, columns
