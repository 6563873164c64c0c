"""The figures of a run: each ours beside what it is held against, and whether the target was met. PURE."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


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
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        words = (f"{figure.part}: {figure.name}", f"{_number(figure.ours)} {figure.unit}", other, ratio)
        lines.append(f"| {' | '.join(words)} | {figure.target} | {verdicts[figure.is_met]} |")
    return "\n".join(lines)


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


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
