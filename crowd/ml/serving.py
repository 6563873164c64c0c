"""Candidates beside a claimed task: which model's, shown or withheld, and the note of it.

What is shown depends on the task and the serving model alone, never on who claims or how often. Which model
serves is remembered for a moment in each process, so that without one a claim costs nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.ml import queries
from crowd.ml.models import Candidates, Showing
from crowd.ml.rules import is_withheld, may_have_candidates
from crowd.ml.service import title
from crowd.policy import Policy, Stage

REMEMBER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """The model that makes a stage's candidates; `model_id` None: none any more."""

    model_id: int | None
    title: str
    since: datetime


@dataclass(slots=True)
class Shelf:
    """Which model serves each stage, as this process knows it."""

    remember: float = REMEMBER_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    _known: Mapping[Stage, Served] = field(default_factory=dict)
    _read_at: float = float("-inf")

    def of(self, conn: Connection, stage: Stage) -> Served | None:
        """The stage's model; None if it never had one."""
        now = self.monotonic()
        if now - self._read_at >= self.remember:
            self._known = {
                row.stage: Served(row.model_id, title(row.name, row.version) if row.name else "", row.since)
                for row in queries.served(conn)
            }
            self._read_at = now
        return self._known.get(stage)


# PostgreSQL finds and notes in one round trip; SQLite has no round trips to save.
_OF_TASK = sa.bindparam("of_task", type_=Candidates.task_id.type)
_OF_MODEL = sa.bindparam("of_model", type_=Candidates.model_id.type)
_FIND = sa.select(Candidates.value).where(Candidates.task_id == _OF_TASK, Candidates.model_id == _OF_MODEL)
_NOTE = sa.insert(Showing)
_FOUND = _FIND.cte("found")
_NOTED = (
    sa.insert(Showing)
    .from_select(
        ["task_id", "token", "model_id", "withheld"],
        sa.select(
            _OF_TASK,
            sa.bindparam("with_token", type_=Showing.token.type),
            _OF_MODEL,
            sa.bindparam("is_withheld", type_=Showing.withheld.type),
        ).select_from(_FOUND),
    )
    .cte("noted")
)
_FIND_AND_NOTE = sa.select(_FOUND.c.value).add_cte(_NOTED)


@dataclass(frozen=True, slots=True)
class Waiter:
    """Brings a claimed task its candidates."""

    policy: Policy
    shelf: Shelf

    def candidates(
        self, conn: Connection, task: AnyRow, labels: Mapping[Stage, Any]
    ) -> dict[str, Any] | None:
        """The candidates to show with a task just claimed; None if there are none, or none to be shown.

        Nobody waits for a model: what is not there now is not shown under this claim. Withheld ones are
        noted like shown ones: both kinds of tasks differ in that alone.
        """
        if not may_have_candidates(
            task.stage, task.seat, task.cause, has_labels=bool(labels.get(task.stage))
        ):
            return None
        served = self.shelf.of(conn, task.stage)
        if served is None or served.model_id is None or not self._is_known_everywhere(served):
            return None
        withheld = is_withheld(task.id, self.policy)
        value = _find_and_note(conn, task, served.model_id, withheld)
        return None if value is None or withheld else {"model": served.title, **value}

    def _is_known_everywhere(self, served: Served) -> bool:
        # An answer's process looks for what was shown only if it knows that the stage had a model.
        return clock.now() - served.since >= timedelta(seconds=2 * self.shelf.remember)


def _find_and_note(conn: Connection, task: AnyRow, model_id: int, withheld: bool) -> Any:
    of = {"of_task": task.id, "of_model": model_id}
    if conn.dialect.name == "postgresql":
        noting = {"with_token": task.token, "is_withheld": withheld}
        return conn.execute(_FIND_AND_NOTE, of | noting).scalar_one_or_none()
    value = conn.execute(_FIND, of).scalar_one_or_none()
    if value is not None:
        conn.execute(
            _NOTE,
            {"task_id": task.id, "token": task.token, "model_id": model_id, "withheld": withheld},
        )
    return value
