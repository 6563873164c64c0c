"""How many images a processor takes through a net at once: the number that is fastest, found while working.

A large batch is not faster on a CPU: its tensors leave the caches. Of a ResNet-50 at 224 px two threads make
an image in 29 ms by eights and in 47 ms by thirty-twos; another net, size or machine has another best.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Times that each size is tried; the first also prepares what the net needs for it.
TRIES = 3


class Pace:
    """Tries sizes from 1 to `most`, doubling, on the work there is, and keeps to the fastest."""

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._sizes = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
        self._clock = clock
        self._seconds: dict[int, list[float]] = defaultdict(list)

    @property
    def best(self) -> int | None:
        """The fastest size; None while sizes are still tried."""
        if self._untried is not None:
            return None
        return min(self._sizes, key=lambda size: min(self._seconds[size]))

    @property
    def _untried(self) -> int | None:
        return next((size for size in self._sizes if len(self._seconds[size]) < TRIES), None)

    def step(self, waiting: int) -> int:
        """How many of so many waiting ones to take next."""
        untried = self._untried
        wanted = self.best if untried is None else untried
        assert wanted is not None
        return min(wanted, waiting)

    @contextmanager
    def timed(self, count: int) -> Iterator[None]:
        """Time what the block does with so many images; what fails is not counted."""
        began = self._clock()
        yield
        self._note(count, self._clock() - began)

    def limit(self, most: int) -> None:
        """No more than so many fit into memory."""
        self._sizes = [size for size in self._sizes if size <= most] or [1]

    def _note(self, count: int, seconds: float) -> None:
        if count in self._sizes and len(self._seconds[count]) < TRIES:
            self._seconds[count].append(seconds / count)
