"""The parts by the names they are asked for with: those that compare sizes, and those that need traffic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.queue import beside, embedded, explain, peers, progress, snapshot, stats, ways, web
from benchmarks.queue.build import Built
from benchmarks.queue.figures import Figure
from benchmarks.queue.web import Length

Measure = Callable[[Built, Length, Callable[[str], None]], list[Figure]]


@dataclass(frozen=True, slots=True)
class Sized:
    """A part that measures each size by itself, without traffic, and then compares them."""

    measure: Callable[[Built, Callable[[str], None]], Any]
    compare: Callable[[Mapping[int, Any]], list[Figure]]


BY_SIZE: dict[str, Sized] = {
    part.PART: Sized(part.measure, part.compare) for part in (explain, progress, stats)
}

PARTS: dict[str, Measure] = {
    part.PART: part.measure for part in (web, peers, snapshot, beside, embedded, ways)
}
