"""The batch of a processor finds itself."""

from collections.abc import Callable

import pytest

from crowd.ml.pace import TRIES, Pace


def work(pace: Pace, waiting: int, cost: Callable[[int], float], clock: list[float]) -> list[int]:
    """Take what waits, each batch at its cost; the sizes of the batches."""
    taken = []
    while waiting:
        count = pace.step(waiting)
        with pace.timed(count):
            clock[0] += cost(count)
        taken.append(count)
        waiting -= count
    return taken


def paced(most: int) -> tuple[Pace, list[float]]:
    clock = [0.0]
    return Pace(most, lambda: clock[0]), clock


@pytest.mark.parametrize("best", [1, 2, 4, 8, 16, 32])
def test_it_keeps_to_the_fastest_size(best: int) -> None:
    pace, clock = paced(32)
    work(pace, TRIES * 63, lambda count: count * (1.0 + abs(count - best) / 100), clock)
    assert pace.best == best
    assert work(pace, 2 * best, lambda count: count, clock) == [best, best]


def test_the_first_batch_of_a_size_does_not_decide() -> None:
    """It also prepares what the net needs."""
    pace, clock = paced(4)
    seen: set[int] = set()

    def cost(count: int) -> float:
        is_first = count not in seen
        seen.add(count)
        return 100.0 if is_first else count * (2.0 if count < 4 else 1.0)

    work(pace, TRIES * 7, cost, clock)
    assert pace.best == 4


def test_few_images_are_taken_as_they_come() -> None:
    pace, clock = paced(32)
    assert work(pace, 5, lambda count: count, clock) == [1, 1, 1, 2]
    assert pace.best is None


def test_what_does_not_fit_is_not_tried_again() -> None:
    pace, clock = paced(32)
    pace.limit(4)
    assert max(work(pace, 200, lambda count: 1.0, clock)) == 4
    pace.limit(0)
    assert pace.step(9) == 1


def test_what_fails_counts_for_nothing() -> None:
    pace, clock = paced(1)
    with pytest.raises(MemoryError), pace.timed(1):
        raise MemoryError
    assert pace.best is None
    work(pace, TRIES, lambda count: 1.0, clock)
    assert pace.best == 1
