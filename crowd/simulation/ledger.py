"""What a crowd counts while it works, from many threads at once."""

import threading
from collections import Counter, defaultdict
from enum import StrEnum

from crowd.policy import Stage
from crowd.simulation.influence import Effect


class Timed(StrEnum):
    """Requests whose latency is kept."""

    CLAIM = "claim"
    SUBMIT = "submit"


class Ledger:
    """Counters behind one lock. Latencies are in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.conflicts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.retries = 0
        self.done: Counter[Stage] = Counter()
        self.adjudications: Counter[str] = Counter()
        self.latencies: dict[Timed, list[float]] = defaultdict(list)
        self.effects: defaultdict[Stage, Counter[str]] = defaultdict(Counter)

    @property
    def cycles(self) -> int:
        """How many tasks were claimed and answered."""
        return sum(self.done.values())

    def note_response(self, status: int, timed: Timed | None, seconds: float) -> None:
        """A request was answered. A claim that found nothing says little about claiming and is not timed."""
        with self._lock:
            self.statuses[status] += 1
            if timed and status == 200:
                self.latencies[timed].append(seconds)

    def note_retry(self) -> None:
        """A request will be sent again."""
        with self._lock:
            self.retries += 1

    def note_conflict(self, code: str) -> None:
        """Somebody else was faster: 409 is part of the game."""
        with self._lock:
            self.conflicts[code] += 1

    def note_error(self, text: str) -> None:
        """Something that should not happen."""
        with self._lock:
            self.errors[text] += 1

    def note_effect(self, stage: Stage, effect: Effect) -> None:
        """Candidates were shown, and the answer stands."""
        with self._lock:
            self.effects[stage].update(
                answers=1, proposed=effect.proposed, alone=effect.alone, shown=effect.shown
            )

    def note_done(self, stage: Stage, cause: str | None) -> None:
        """A task was answered and the answer stands."""
        with self._lock:
            self.done[stage] += 1
            if stage is Stage.ADJUDICATION:
                self.adjudications[str(cause)] += 1
