"""The cap on work in progress: where too much waits downstream, a stage hands out no new work.

Decided from the kept counts, looked at every two seconds in a process; without a cap nothing is looked at.
"""

import threading
import time
from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection

from crowd.core.db import Database
from crowd.policy import Policy, Stage
from crowd.tasks import counts
from crowd.tasks.flow import ORDER
from crowd.tasks.models import Figure

KNOWN_SECONDS = 2.0


def over_cap(ready: Mapping[Stage, int], policy: Policy) -> frozenset[Stage]:
    """The stages with new work of their own that have more ready tasks after them than their cap allows."""
    return frozenset(
        stage
        for stage, rules in policy.stages.items()
        if rules.pause_above and ready[stage] and _after(stage, ready) > rules.pause_above
    )


def _after(stage: Stage, ready: Mapping[Stage, int]) -> int:
    return sum(count for other, count in ready.items() if ORDER[other] > ORDER[stage])


class Valve:
    """Which stages pause, as this process knows it. Threads may share it."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, known: float = KNOWN_SECONDS
    ) -> None:
        self._monotonic = monotonic
        self._known = known
        self._paused: frozenset[Stage] = frozenset()
        self._until = float("-inf")
        self._turn = threading.Lock()

    def paused(self, conn: Connection, policy: Policy) -> frozenset[Stage]:
        """The stages that hand out no new work now."""
        if not any(rules.pause_above for rules in policy.stages.values()):
            return frozenset()
        if self._monotonic() >= self._until:
            until = self._monotonic() + self._known
            paused = over_cap(counts.task_counts(conn, Figure.READY), policy)
            with self._turn:
                self._paused, self._until = paused, until
        return self._paused


_VALVES: WeakKeyDictionary[Database, Valve] = WeakKeyDictionary()


def valve_of(db: Database) -> Valve:
    """What this process knows of a database's stages."""
    return _VALVES.setdefault(db, Valve())
