"""A measured figure beside what it is compared with, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`value` and `floor` in `unit`; their ratio is to be at least, or at most, the bar."""

    what: str
    value: float
    floor: float
    unit: str
    bar: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        return self.value / self.floor

    @property
    def holds(self) -> bool:
        return self.ratio <= self.bar if self.at_most else self.ratio >= self.bar


def table(lines: Sequence[Line]) -> str:
    rows = [
        "| what | measured | beside | unit | ratio | bar | holds |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for line in lines:
        sign = "≤" if line.at_most else "≥"
        rows.append(
            f"| {line.what} | {line.value:,.0f} | {line.floor:,.0f} | {line.unit} | {line.ratio:.2f} "
            f"| {sign} {line.bar:g} | {'yes' if line.holds else 'NO'} |"
        )
    return "\n".join(rows)
