"""The figures of a run: each ours beside what it is held against, and whether the target was met. PURE."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import Any

SMALL_RATIO = 0.1
# Above so many tasks an index has the height that it has at eight million.
TALL = 1_000_000
FLAT = 1.2


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `other` is the floor, the peer or the base; `most` bounds ours / other.

    `least` bounds it from below instead, and `bound` bounds ours alone.
    """

    part: str
    name: str
    unit: str
    ours: float
    other: float | None = None
    most: float | None = None
    least: float | None = None
    bound: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the other; None where there is nothing to divide by."""
        return self.ours / self.other if self.other else None

    @property
    def target(self) -> str:
        """What was wanted, in words."""
        if self.bound is not None:
            return f"{_number(self.bound)} {self.unit} at most"
        if self.most is not None:
            return f"≤ {self.most:g}"
        return f"≥ {self.least:g}" if self.least is not None else ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target was reached; None where there is none."""
        if self.bound is not None:
            return self.ours <= self.bound
        if self.ratio is None or (self.most is None and self.least is None):
            return None
        return (self.most is None or self.ratio <= self.most) and (
            self.least is None or self.ratio >= self.least
        )

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self) | {"ratio": self.ratio, "target": self.target, "is_met": self.is_met}


def table(figures: Sequence[Figure]) -> str:
    """The figures as one Markdown table."""
    lines = ["| figure | ours | floor/peer/base | ratio | target | met |", "|---|--:|--:|--:|---|---|"]
    verdicts = {True: "yes", False: "**no**", None: ""}
    for figure in figures:
        other = "" if figure.other is None else f"{_number(figure.other)} {figure.unit}"
        ratio = "" if figure.ratio is None else _ratio(figure.ratio)
        words = (f"{figure.part}: {figure.name}", f"{_number(figure.ours)} {figure.unit}", other, ratio)
        lines.append(f"| {' | '.join(words)} | {figure.target} | {verdicts[figure.is_met]} |")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages that something looked at, and how often it entered an index from its root."""

    count: float
    descents: float


def compared_sizes(sizes: Iterable[int]) -> list[tuple[int, int]]:
    """Which two sizes are held against each other: neighbours, and the smallest with the largest."""
    ordered = sorted(sizes)
    pairs = list(pairwise(ordered))
    return pairs if len(ordered) < 3 else [*pairs, (ordered[0], ordered[-1])]


def grown(part: str, name: str, small: int, large: int, pages: Pages, before: Pages) -> Figure:
    """How many pages the same thing takes at the larger size, against what it may.

    From a million tasks on FLAT times as many. From fewer, an index may have grown by a level: one page
    more each time that it was entered from its root at the smaller size. (Not at the larger one: a search
    that enters indexes more often, the more there is, would earn itself the pages for it.)
    """
    words = f"{name}, {size_name(large)}/{size_name(small)}"
    if small >= TALL:
        return Figure(part, words, "pages", pages.count, before.count, most=FLAT)
    return Figure(part, words, "pages", pages.count, before.count, bound=before.count + before.descents)


def middle(values: Iterable[float]) -> float:
    """The median; 0 of nothing."""
    kept = list(values)
    return float(median(kept)) if kept else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def size_name(tasks: int) -> str:
    """10000 → 10k, 8000000 → 8M."""
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if tasks >= unit and tasks % unit == 0:
            return f"{tasks // unit}{letter}"
    return str(tasks)


def parse_size(text: str) -> int:
    """The other way round. Raises ValueError."""
    factor = {"k": 1000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    return int(float(text.rstrip("kKmM")) * factor)


def _ratio(value: float) -> str:
    """Of a peer that costs many times as much: 1/24."""
    return f"1/{1 / value:,.0f}" if 0 < value < SMALL_RATIO else f"{value:.2f}"


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
