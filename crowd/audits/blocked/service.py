"""An audit that nobody can finish: said to admins as long as it is so, and drawn anew where they want it.

An image is blocked when everybody of the grades that may judge had a part in it. Whoever is let in or
promoted unblocks it; so nothing is kept, it is looked at when asked.
"""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.audits import queries, service
from crowd.audits.blocked import queries as sql
from crowd.audits.models import AuditState, AuditTurn
from crowd.audits.sampling import MOST_SAMPLED
from crowd.audits.seats import SEAT
from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict
from crowd.policy import Policy
from crowd.tasks.progress import Trouble


def missing_grades(policy: Policy) -> list[str]:
    """The grades of which one more person would unblock an audit."""
    return sorted(policy.audit.grades)


def troubles(
    conn: Connection, policy: Policy, after: tuple[int, int], limit: int
) -> Sequence[dict[str, Any]]:
    """The open audits of which nobody may judge some images, beyond the key `after`: before any image."""
    image_id, audit_id = after
    if image_id:
        return []
    found = sql.counts(conn, policy.audit.grades)
    return [_trouble(conn, policy, each, found[each]) for each in sorted(found) if each > audit_id][:limit]


def redraw(db: Database, policy: Policy, audit_id: int, *, by: Actor | None, reason: str) -> int:
    """Draw others of the lot for the images that nobody may judge; how many were replaced.

    What the sample says then holds for those images of the lot that somebody may judge (docs/audits.md).
    Raises NotFound, Conflict `not_open`, `not_blocked`, and `too_few_left`: the lot has not as many others.
    """
    grades = policy.audit.grades
    with db.snapshot() as conn:
        found = _open(conn, audit_id)
        wanted = sql.counts(conn, grades, [audit_id]).get(audit_id, 0)
        if not wanted:
            raise _not_blocked(audit_id)
        drawn = _draw(conn, found, wanted + service.LEAST_SPARE, policy)
    now = clock.now()
    with db.begin() as conn:
        # The images before the audit, as whoever claims or answers locks them.
        blocked = [row.place for row in sql.locked(conn, audit_id, grades)]
        found = _open(conn, audit_id, lock=True)
        if not blocked:
            raise _not_blocked(audit_id)
        lost = _pass_over(conn, found, len(blocked), drawn, policy)
        sql.replace(conn, audit_id, [*blocked, *lost], now)
        queries.count(conn, audit_id, replaced=len(blocked) + len(lost))
        actor_id = by.id if by else None
        queries.add_event(conn, audit_id, AuditTurn.REDRAWN, now, by=actor_id, reason=reason)
    return len(blocked) + len(lost)


def _pass_over(
    conn: Connection, found: AnyRow, wanted: int, drawn: Sequence[AnyRow], policy: Policy
) -> list[int]:
    """Give `wanted` turns to spare images and those just drawn; the places of spare ones passed over.

    Raises Conflict `too_few_left`.
    """
    lost = []
    for spare in sql.spares(conn, found, policy.audit.grades):
        if not wanted:
            break
        if spare.blocked:
            lost.append(spare.place)
        else:
            wanted -= 1
    if wanted > len(drawn):
        text = f"Of the others in the lot of audit {found.id} too few can be judged by somebody uninvolved. "
        raise Conflict("too_few_left", text + "Let somebody in who had no part in them, or drop the audit.")
    first = sql.last_place(conn, found.id) + 1
    if drawn:
        queries.add_images(
            conn,
            [
                {"audit_id": found.id, "place": place, "image_id": image.id, "round": image.round}
                for place, image in enumerate(drawn, start=first)
            ],
        )
    return lost


def _draw(conn: Connection, found: AnyRow, wanted: int, policy: Policy) -> list[AnyRow]:
    """Up to `wanted` more images of an audit's lot that somebody may judge, each as likely as any other."""
    scope = (found.supplier_id, found.batch_id)
    size = queries.lot_size(conn, *scope)
    # Of the audit's own seed: with the same images it comes to the same ones again.
    dice = random.Random(f"{found.seed}/{queries.in_turn(found)}")
    places = dice.sample(range(1, size + 1), min(size, MOST_SAMPLED))
    images = queries.images_at(conn, *scope, places)
    order = [images[place] for place in places if place in images]
    fit = sql.drawable(conn, found, [image.id for image in order], policy.audit.grades)
    return [image for image in order if image.id in fit][:wanted]


def _open(conn: Connection, audit_id: int, *, lock: bool = False) -> AnyRow:
    found = service.find_audit(conn, audit_id, lock=lock)
    if found.state is not AuditState.OPEN:
        raise Conflict("not_open", f"Audit {audit_id} has {found.state}; that stands.")
    return found


def _not_blocked(audit_id: int) -> Conflict:
    return Conflict("not_blocked", f"Somebody may judge every image of audit {audit_id}; none is drawn anew.")


def _trouble(conn: Connection, policy: Policy, audit_id: int, images: int) -> dict[str, Any]:
    since: datetime = service.find_audit(conn, audit_id).drawn_at
    return {
        "kind": Trouble.BLOCKED,
        "image_id": None,
        "task_id": None,
        "audit_id": audit_id,
        "images": images,
        "stage": SEAT,
        "since": since,
        "blocked_for": missing_grades(policy),
    }
