"""One measured ratio, and the table of them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was measured beside its floor; `bound` is what the ratio has to keep, on which side."""

    what: str
    measured: str
    floor: str
    ratio: float
    bound: float
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether the ratio keeps its bound."""
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


def as_table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | measured | beside | ratio | bound |", "|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        verdict = "" if row.holds else " **missed**"
        lines.append(
            f"| {row.what} | {row.measured} | {row.floor} | {row.ratio:.2f} | {sign} {row.bound:g}{verdict} |"
        )
    return "\n".join(lines)
