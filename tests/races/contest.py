"""Running things at the same instant, over connections of their own."""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from crowd.core.errors import Problem

T = TypeVar("T")

WAIT_SECONDS = 60


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
