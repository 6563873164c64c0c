"""What an audit sends back: the images found wrong, and the lot they vouch against.

Pages of images, each one transaction that first moves the order's own row ahead: a job worker may be killed
at any moment, the next one goes on, and of two at the same order one does a page.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.audits import queries, service
from crowd.audits import return_queries as sql
from crowd.audits.models import AuditState, AuditTurn
from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict
from crowd.images.models import ImageState
from crowd.policy import Stage
from crowd.tasks import decisions, image_queries
from crowd.tasks.decisions import Reopening

log = structlog.get_logger(__name__)

PAGE = 50
# How long an order is left to the job worker that took it, from the last page it did.
HOLD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to go back of an audit, and why; `stage`: where the whole lot is reviewed again, None: not."""

    audit_id: int
    stage: Stage | None
    reason: str


def preview(conn: Connection, wanted: Wanted) -> dict[str, int]:
    """How many images would go back, by stage; changes nothing. Raises what `order` raises."""
    found = _guard(conn, wanted)
    stages: Counter[str] = Counter()
    wrong = sql.count_wrong(conn, found)
    for stage, number in wrong.items():
        stages[stage.value] += number
    if wanted.stage is not None:
        accepted = queries.lot_size(conn, found.supplier_id, found.batch_id)
        stages[wanted.stage.value] += accepted - sql.count_since(conn, found) - sum(wrong.values())
    return {stage: number for stage, number in stages.items() if number}


def order(conn: Connection, wanted: Wanted, *, by: Actor | None, now: datetime) -> int:
    """Have it done by a job worker; the id of the order.

    Raises NotFound, Conflict `not_decided`, `not_failed` (only a lot that failed goes back as a whole),
    `went_back` (it has), and `under_way`.
    """
    found = _guard(conn, wanted, lock=True)
    return_id = sql.add_return(
        conn,
        audit_id=found.id,
        stage=wanted.stage,
        reason=wanted.reason,
        actor_id=by.id if by else None,
        at=now,
        reopened={},
        left_alone={},
        run_after=now,
    )
    if return_id is None:
        raise Conflict("under_way", f"What audit {found.id} sends back is on its way.")
    actor_id = by.id if by else None
    queries.add_event(conn, found.id, AuditTurn.ORDERED_BACK, now, by=actor_id, reason=wanted.reason)
    return return_id


def run_returns(db: Database) -> int:
    """Do every order that is due, until none is. Returns how many images were opened again.

    May run in any number of processes at once and be killed at any moment.
    """
    opened = 0
    while True:
        now = clock.now()
        with db.read() as conn:
            due = sql.due(conn, now)
        if due is None:
            return opened
        until: datetime | None = due.run_after
        while until is not None:
            with db.begin() as conn:
                until, done = _page(conn, due.id, until)
            opened += done


def _page(conn: Connection, return_id: int, before: datetime) -> tuple[datetime | None, int]:
    """A page of images; until when the order is ours then (None: it is done, or another's), and how many."""
    now = clock.now()
    until = max(now + HOLD, before + timedelta(microseconds=1))
    # The fence first: whoever else holds the order waits here, and finds it moved.
    if not sql.hold(conn, return_id, before, until):
        log.warning("return_overtaken", order=return_id)
        return None, 0
    found = sql.held(conn, return_id)
    if found.stage is None:
        page = sql.wrong_page(conn, found.audit_id, found.after_id, PAGE)
    else:
        page = sql.lot_page(conn, found, found.after_id, PAGE)
    reopened, left = Counter(found.reopened), Counter(found.left_alone)
    verdicts = sql.wrong_among(conn, found.audit_id, page)
    for image_id in page:
        fate, stage = _send(conn, found, image_id, verdicts.get(image_id), now)
        (left if stage is None else reopened)[fate] += 1
    opened = sum(reopened.values()) - sum(found.reopened.values())
    progress: dict[str, Any] = {"reopened": dict(reopened), "left_alone": dict(left)}
    if page:
        progress["after_id"] = page[-1]
    if len(page) == PAGE:
        sql.hold(conn, return_id, until, until, **progress)
        return until, opened
    sql.hold(conn, return_id, until, None, finished_at=now, **progress)
    _finish(conn, found, now)
    return None, opened


def _send(
    conn: Connection, found: AnyRow, image_id: int, verdict: AnyRow | None, now: datetime
) -> tuple[str, Stage | None]:
    """One image: the stage that it goes to, or why it is left alone."""
    image = image_queries.lock_image(conn, image_id)
    assert image is not None
    stage: Stage = verdict.blame if verdict is not None else found.stage
    if image.state is not ImageState.ACCEPTED:
        return "not_accepted", None
    if sql.is_accepted_since(conn, image_id, found.last_event_id):
        return "accepted_since", None
    if not decisions.is_ready_for(conn, image_id, stage):
        return "incomplete", None
    why: dict[str, Any] = {"reason": found.reason, "audit": found.audit_id}
    if verdict is not None:
        why["verdicts"] = [_feedback(verdict)]
    decisions.reopen(conn, image, stage, Reopening(found.actor_id, why), now)
    return stage.value, stage


def _feedback(verdict: AnyRow) -> dict[str, Any]:
    """What travels to whoever does the stage again; it looks like any second review's."""
    return {
        "stage": Stage.SECOND_REVIEW.value,
        "score": verdict.score,
        "reasons": list(verdict.reasons),
        "comment": verdict.comment,
    }


def _finish(conn: Connection, found: AnyRow, now: datetime) -> None:
    if found.stage is not None:
        queries.change(conn, found.audit_id, dealing=False, ended_at=now)
    queries.add_event(conn, found.audit_id, AuditTurn.WENT_BACK, now, by=found.actor_id, reason=found.reason)


def _guard(conn: Connection, wanted: Wanted, *, lock: bool = False) -> AnyRow:
    found = service.find_audit(conn, wanted.audit_id, lock=lock)
    if found.state not in (AuditState.PASSED, AuditState.FAILED):
        raise Conflict("not_decided", f"Audit {found.id} is {found.state}: it sends nothing back.")
    if wanted.stage is None:
        return found
    if found.state is not AuditState.FAILED:
        raise Conflict("not_failed", f"The lot of audit {found.id} passed; send back what is wrong alone.")
    if found.ended_at is not None:
        raise Conflict("went_back", f"The lot of audit {found.id} went back already.")
    return found
