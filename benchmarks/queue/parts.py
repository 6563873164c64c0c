"""The parts that need traffic or a database of their own, by the names they are asked for with."""

from collections.abc import Callable

from benchmarks.queue import beside, embedded, peers, snapshot, ways, web
from benchmarks.queue.build import Built
from benchmarks.queue.figures import Figure
from benchmarks.queue.web import Length

Measure = Callable[[Built, Length, Callable[[str], None]], list[Figure]]

PARTS: dict[str, Measure] = {
    part.PART: part.measure for part in (web, peers, snapshot, beside, embedded, ways)
}
