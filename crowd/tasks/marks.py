"""Where in a queue a person's search begins: what lies before is gone, or not for them.

Without marks somebody whose own labels fill the head of a review queue makes every claim of theirs
read all of them, and so does everybody while an old snapshot keeps claimed rows from being cleaned
away. Only a hint: a mark never decides who gets a task, and a search that finds nothing is repeated
without the marks that are no longer fresh. Each process has them in its memory, and keeps them in the
database (`crowd.tasks.claim_queries`) for those that know a person not yet.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext

from crowd.core.db import AnyRow, Database
from crowd.policy import Stage

# Ids between the mark and what was found, from which moving the mark is worth a statement.
STRIDE = 2000
# Between two looks at the newest tasks; longer than anybody takes from an id drawn to a row written.
SIGHT_SECONDS = 2.0
# A mark that could not be moved is not tried again at once.
PAUSE_SECONDS = 5.0
# An empty answer is given only after a search without marks older than this.
FRESH_SECONDS = 300.0
# Whatever went wrong with a mark is over after this long.
LIFE_SECONDS = 3600.0
MOST_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Marks:
    """One person's marks in one stage's queue, by priority.

    Every ready task of that priority with a smaller id is one the person may never take, or has been
    claimed before (and is then found by `ix_tasks_returned`).
    """

    by_priority: Mapping[int, int] = field(default_factory=dict)
    made_at: float = 0.0
    tried_at: float = float("-inf")


NONE = Marks()


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest tasks as they were at a moment, and the transactions that were at work then.

    `running_from`: every transaction with a smaller id had ended; `running_to`: none with this id or a
    larger one had begun. Both 0 on a database that lets one transaction write at a time.
    """

    newest: int
    priorities: tuple[int, ...]
    running_from: int
    running_to: int


@dataclass(frozen=True, slots=True)
class Horizon:
    """No task with this id or a smaller one is still to appear: whoever could have opened it is done.

    `priorities`: those of the newest tasks, best first.
    """

    task_id: int = 0
    priorities: tuple[int, ...] = ()


class MarkBook:
    """The marks of everybody who claims through this process. Threads may share it."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        stride: int = STRIDE,
        pause: float = PAUSE_SECONDS,
        sight: float = SIGHT_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._stride = stride
        self._pause = pause
        self._sight = sight
        self._marks: OrderedDict[tuple[int, Stage], Marks] = OrderedDict()
        self._turn = threading.Lock()
        self._horizon = Horizon()
        self._sighting: Sighting | None = None
        self._sighted_at = float("-inf")

    def of(self, worker_id: int, stage: Stage) -> Marks:
        """Where this person's search in the stage begins."""
        found = self._marks.get((worker_id, stage), NONE)
        return NONE if found is not NONE and self._age(found) > LIFE_SECONDS else found

    def knows(self, worker_id: int, stage: Stage) -> bool:
        """Whether there are marks, or it was looked for some."""
        return self.of(worker_id, stage) is not NONE

    def begin(
        self, worker_id: int, stage: Stage, by_priority: Mapping[int, int], *, age: float = 0.0
    ) -> None:
        """Have these marks, made `age` seconds ago, to begin with."""
        self._keep(worker_id, stage, Marks(by_priority, self._monotonic() - age, float("-inf")))

    def is_at_head(self, worker_id: int, stage: Stage) -> bool:
        """Whether the search begins at the head, and it was not tried yet to have it begin further on."""
        marks = self.of(worker_id, stage)
        return not marks.by_priority and marks.tried_at == NONE.tried_at

    def is_worth_moving(self, worker_id: int, stage: Stage, found: AnyRow | None) -> bool:
        """Whether the search that ended at this task, or at none, passed over enough to move the marks."""
        marks = self.of(worker_id, stage)
        if self._monotonic() - marks.tried_at < self._pause:
            return False
        return found is None or found.id - marks.by_priority.get(found.priority, 0) > self._stride

    def are_stale(self, worker_id: int, stage: Stage) -> bool:
        """Whether there are marks too old to call a queue empty by."""
        marks = self.of(worker_id, stage)
        return bool(marks.by_priority) and self._age(marks) > FRESH_SECONDS

    def move(self, worker_id: int, stage: Stage, by_priority: Mapping[int, int]) -> float:
        """Have these marks in place of the earlier ones; returns their age, that of the first of them."""
        before = self.of(worker_id, stage)
        now = self._monotonic()
        moved = Marks(
            by_priority=by_priority,
            made_at=before.made_at if before.by_priority else now,
            tried_at=now,
        )
        self._keep(worker_id, stage, moved)
        return self._age(moved)

    def forget(self, worker_id: int, stage: Stage) -> None:
        """The next search begins at the head."""
        self.begin(worker_id, stage, {})

    def forget_all(self) -> None:
        """Begin anew: the database is another one than before."""
        with self._turn:
            self._marks.clear()
            self._horizon, self._sighting = Horizon(), None

    def wants_sighting(self) -> bool:
        """Whether it is time to look at the newest tasks again."""
        return self._monotonic() - self._sighted_at >= self._sight

    def sight(self, seen: Sighting) -> None:
        """Move the horizon to the earlier sighting, once all who were at work then have ended.

        An id is drawn just before its transaction counts as at work: that is why sightings lie seconds apart.
        """
        with self._turn:
            earlier = self._sighting
            if earlier is not None and seen.running_from < earlier.running_to:
                return
            if earlier is not None:
                self._horizon = Horizon(earlier.newest, earlier.priorities)
            self._sighting, self._sighted_at = seen, self._monotonic()

    @property
    def horizon(self) -> Horizon:
        """Up to where all tasks are in sight."""
        return self._horizon

    def _keep(self, worker_id: int, stage: Stage, marks: Marks) -> None:
        with self._turn:
            self._marks[worker_id, stage] = marks
            self._marks.move_to_end((worker_id, stage))
            while len(self._marks) > MOST_KEPT:
                self._marks.popitem(last=False)

    def _age(self, marks: Marks) -> float:
        return self._monotonic() - marks.made_at


_BOOKS: WeakKeyDictionary[Database, MarkBook] = WeakKeyDictionary()


def book_of(db: Database) -> MarkBook:
    """The marks in memory for a database, shared by its threads."""
    book = _BOOKS.get(db)
    if book is None:
        book = _BOOKS.setdefault(db, MarkBook())
        sa.event.listen(db.engine, "handle_error", partial(_forget_if_lost, book))
    return book


def _forget_if_lost(book: MarkBook, context: ExceptionContext) -> None:
    # What answers next may be a standby that lacks the last transactions and gives their ids anew.
    if context.is_disconnect:
        book.forget_all()
