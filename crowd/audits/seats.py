"""An audit's seats: given to experts who had no part in the image, and what they find.

A seat is a second review on a number of its own, with the labels as they were when the audit was drawn: to
who sits there a task like any other (docs/decisions/0019-audits.md).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from crowd.audits import queries, service
from crowd.core.db import AnyRow
from crowd.images import contracts
from crowd.images import queries as images
from crowd.images.models import ImageState
from crowd.policy import Policy, Stage
from crowd.review.policy import DEFAULT_TARGET, passes
from crowd.tasks import answer_queries, handover, shadow_queries
from crowd.tasks.models import Purpose
from crowd.tasks.shadows import Asking, Testimony

SEAT = Stage.SECOND_REVIEW
# For so long it is believed that no audit is under way.
LOOK_SECONDS = 2.0
_NOT_SHOWN = frozenset({ImageState.WITHDRAWN, ImageState.REFUSED})


@dataclass(slots=True)
class Usher:
    """Gives out the seats of audits. What it remembers is a hint of this process."""

    policy: Policy
    monotonic: Callable[[], float] = time.monotonic
    _idle_until: float = field(default=0.0)

    def seat(self, conn: Connection, asking: Asking, now: datetime) -> AnyRow | None:
        """The seat this person gets, leased; None where there is none for them."""
        if asking.grade not in self.policy.audit.grades or asking.only not in (None, SEAT):
            return None
        if self._is_idle(conn):
            return None
        while found := queries.next_image(conn, asking.worker_id, self.policy.audit.grades, now):
            source = images.image_file(conn, found.image_id)
            assert source is not None
            if source.state not in _NOT_SHOWN and not contracts.has_ended(source, now.date()):
                return self._sit(conn, found, asking, now)
            queries.settle(conn, found.audit_id, found.place, void=True, settled_at=now)
            service.decide(conn, queries.count(conn, found.audit_id, void=1), now)
        return None

    def _is_idle(self, conn: Connection) -> bool:
        if self.monotonic() < self._idle_until:
            return True
        if queries.is_dealing(conn):
            return False
        self._idle_until = self.monotonic() + LOOK_SECONDS
        return True

    def _sit(self, conn: Connection, found: AnyRow, asking: Asking, now: datetime) -> AnyRow:
        rows = answer_queries.label_rows(conn, found.image_id)
        then = [row for row in rows if row.round <= found.round]
        until = now + timedelta(seconds=self.policy.stages[SEAT].lease_seconds)
        task = shadow_queries.seat_beside(
            conn,
            Purpose.AUDIT,
            SEAT,
            found.image_id,
            handover.present_labels(then),
            asking.worker_id,
            asking.taxonomy_id,
            now,
            until,
        )
        queries.seat(conn, found.audit_id, found.place, task.id)
        return task


def hear(conn: Connection, said: Testimony) -> None:
    """Take a verdict given in an audit's seat: it counts for the audit alone."""
    found = queries.seated(conn, said.task.id)
    # Another seat has taken its place meanwhile, or another's verdict.
    if found is None or found.settled_at is not None:
        return
    wrong = not passes(said.result)
    blamed = said.result["blame"]
    queries.settle(
        conn,
        found.audit_id,
        found.place,
        settled_at=said.at,
        worker_id=said.worker_id,
        wrong=wrong,
        score=said.result["score"],
        blame=(Stage(blamed) if blamed else DEFAULT_TARGET[SEAT]) if wrong else None,
        reasons=list(said.result["reasons"]),
        comment=said.result["comment"],
    )
    service.decide(conn, queries.count(conn, found.audit_id, judged=1, wrong=int(wrong)), said.at)
