"""Running things at the same instant, over connections of their own."""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from crowd.core.errors import Problem

T = TypeVar("T")

WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Turn:
    """One way for two actions to meet.

    `waits`: this one begins when the other is done. Else both go at one moment, the first with so many
    seconds' lead, the second if it is below zero.
    """

    took: list[float]
    waits: int | None = None
    lead: float = 0.0

    def meet(self, one: Callable[[], T], other: Callable[[], T]) -> list[T | Problem]:
        """What the two came to; a refusal stands for its result."""
        if self.waits is None:
            delays = max(-self.lead, 0.0), max(self.lead, 0.0)
            return together(*map(partial, (_after, _after), delays, (one, other)))
        results: list[T | Problem] = []
        for action in (other, one) if self.waits == 0 else (one, other):
            began = time.monotonic()
            results += together(action)
            self.took.append(time.monotonic() - began)
        return results[::-1] if self.waits == 0 else results


def turns(count: int) -> Iterator[Turn]:
    """So many ways for two to meet: each behind the other, and in between from far ahead to far behind.

    Both orders come up, however slow the machine is just now, and so do all that overlap: how far is far is
    how long the first two turns took.
    """
    took: list[float] = []
    yield from (Turn(took, waits=place) for place in (0, 1))
    steps = count - 2
    for step in range(steps):
        yield Turn(took, lead=max(took) * (1 - 2 * step / (steps - 1)))


def _after(seconds: float, action: Callable[[], T]) -> T:
    time.sleep(seconds)
    return action()


def together(*actions: Callable[[], T], seed: int = 0, spread_ms: float = 0.0) -> list[T | Problem]:
    """What each action came to, all begun at one moment; a refusal stands for its result.

    Anything but a Problem is raised: a deadlock, a locked database, a broken constraint.
    `spread_ms`: each action waits up to so many milliseconds of its own, so that over many
    seeds every order of their statements comes up.
    """
    barrier = threading.Barrier(len(actions))
    results: dict[int, T | Problem] = {}
    broken: list[BaseException] = []
    delays = random.Random(seed)

    def act(place: int, action: Callable[[], T], delay: float) -> None:
        try:
            barrier.wait(WAIT_SECONDS)
            time.sleep(delay)
            results[place] = action()
        except Problem as problem:
            results[place] = problem
        except BaseException as error:  # to be raised where the test is
            broken.append(error)

    threads = [
        threading.Thread(target=act, args=(place, action, delays.uniform(0, spread_ms) / 1000), daemon=True)
        for place, action in enumerate(actions)
    ]
    with _often_switching():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "somebody still waits: a deadlock"
    if broken:
        raise broken[0]
    return [results[place] for place in range(len(actions))]


@contextmanager
def _often_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
