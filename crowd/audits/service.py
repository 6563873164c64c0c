"""Drawing an audit, deciding about it, signing it; and what it means for a release."""

import random
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.audits import queries
from crowd.audits.models import AuditState, AuditTurn, Opinion
from crowd.audits.sampling import MOST_SAMPLED, lot_bounds, most_tolerable, sample_size
from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.images.models import Batch, Supplier

# So many more are drawn as may have to stand in for images that are no longer shown to anybody.
LEAST_SPARE, SPARE_SHARE = 3, 20
MOST_SEED = 2**53 - 1
# So long a draw waits for what is being written.
SETTLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The audit an admin wants: of which accepted images (None: of all suppliers, batches), and how strict.

    `tolerable_rate` of the lot may be wrong; a lot beyond it fails with at least `confidence`. So many as
    `allowed_wrong` may be wrong in the sample. Without a seed one is thrown.
    """

    supplier: str | None
    batch: str | None
    confidence: float
    tolerable_rate: float
    allowed_wrong: int
    seed: int | None
    reason: str


def preview(conn: Connection, wanted: Wanted) -> tuple[int, int]:
    """How many images the lot would have, and how many of them would be drawn to be judged.

    Raises what `draw` does.
    """
    scope = _scope(conn, wanted)
    if standing := queries.audit_of_scope(conn, _name(*scope)):
        raise _standing(standing)
    lot = queries.lot_size(conn, *scope)
    if not lot:
        raise _no_lot()
    return lot, _size(lot, wanted)


def draw(db: Database, wanted: Wanted, *, by: Actor | None) -> int:
    """Draw a lot and its sample; the id of the audit. `by` None: the command line.

    Raises a 422 about `supplier`, `batch` or `tolerable_rate`, Conflict `nothing_accepted`, `busy`, and
    `audit_standing`: an audit of the same images is open, or has failed and its lot was not sent back.
    """
    with db.read() as conn:
        scope = _scope(conn, wanted)
        if standing := queries.audit_of_scope(conn, _name(*scope)):
            raise _standing(standing)
    seed = secrets.randbelow(MOST_SEED) if wanted.seed is None else wanted.seed
    last_event_id = _settled_event(db)
    with db.snapshot() as conn:
        lot = queries.lot_size(conn, *scope, last_event_id)
        if not lot:
            raise _no_lot()
        size = _size(lot, wanted)
        spare = min(lot - size, max(LEAST_SPARE, size // SPARE_SHARE))
        places = random.Random(seed).sample(range(1, lot + 1), size + spare)
        found = queries.images_at(conn, *scope, places, last_event_id)
    with db.begin() as conn:
        now = clock.now()
        audit_id = queries.add_audit(
            conn,
            scope=_name(*scope),
            supplier_id=scope[0],
            batch_id=scope[1],
            lot=lot,
            size=size,
            confidence=wanted.confidence,
            tolerable_rate=wanted.tolerable_rate,
            allowed_wrong=min(wanted.allowed_wrong, most_tolerable(lot, wanted.tolerable_rate)),
            seed=seed,
            last_event_id=last_event_id,
            drawn_at=now,
            drawn_by=by.id if by else None,
            reason=wanted.reason,
            state=AuditState.OPEN,
            dealing=True,
        )
        if audit_id is None:
            standing = queries.audit_of_scope(conn, _name(*scope))
            assert standing is not None, "it is what kept ours out"
            raise _standing(standing)
        images = [found[place] for place in places]
        queries.add_images(
            conn,
            [
                {"audit_id": audit_id, "place": place, "image_id": image.id, "round": image.round}
                for place, image in enumerate(images)
            ],
        )
        queries.add_event(
            conn, audit_id, AuditTurn.DRAWN, now, by=by.id if by else None, reason=wanted.reason
        )
    return audit_id


def _settled_event(db: Database) -> int:
    """The newest row of the history, once all that might still put one before it have come to their end.

    An acceptance gets its number when it is written, not when it is committed: one that is under way would
    be in no lot, and have a number that the audit covers. Raises Conflict `busy`.
    """
    with db.read() as conn:
        last_event_id = queries.last_event(conn)
        newest = queries.newest_writer(conn)
    give_up = time.monotonic() + SETTLE_SECONDS
    while newest is not None:
        with db.read() as conn:
            if queries.are_done(conn, newest):
                break
        if time.monotonic() >= give_up:
            raise Conflict("busy", "Something large is being written just now; draw the audit after it.")
        time.sleep(0.05)
    return last_event_id


def find_audit(conn: Connection, audit_id: int, *, lock: bool = False) -> AnyRow:
    """The audit. Raises NotFound."""
    found = queries.audit(conn, audit_id, lock=lock)
    if found is None:
        raise NotFound("no_such_audit", f"There is no audit {audit_id}.")
    return found


def drop(conn: Connection, audit_id: int, *, by: Actor, reason: str, now: datetime) -> None:
    """Give up an audit that is open; it blocks nothing any more. Raises NotFound, Conflict `not_open`."""
    found = find_audit(conn, audit_id, lock=True)
    if found.state is not AuditState.OPEN:
        raise Conflict("not_open", f"Audit {audit_id} has {found.state}; that stands.")
    queries.change(conn, audit_id, state=AuditState.DROPPED, dealing=False, decided_at=now, ended_at=now)
    queries.add_event(conn, audit_id, AuditTurn.DROPPED, now, by=by.id, reason=reason)


def sign(
    conn: Connection, audit_id: int, *, by: Actor, opinion: Opinion, comment: str, now: datetime
) -> dict[str, Any]:
    """Keep an auditor's opinion of an audit as it stands.

    Raises NotFound, a 422 about `comment`, and Conflict `already_signed`: they have signed it as it stands.
    """
    found = find_audit(conn, audit_id, lock=True)
    if opinion is not Opinion.APPROVED and not comment:
        raise field_error("comment", "say why")
    signed = {
        "at": now,
        "opinion": opinion,
        "comment": comment,
        "state": found.state,
        **_standing_of(conn, found),
    }
    signature_id = queries.add_signature(
        conn, audit_id=audit_id, worker_id=by.id, wrong=found.wrong, **signed
    )
    if signature_id is None:
        text = f"You have signed audit {audit_id} as it stands; sign again when something has changed."
        raise Conflict("already_signed", text)
    return {**signed, "id": signature_id, "who": by.username, "wrong": found.wrong, "current": True}


def signatures(conn: Connection, found: AnyRow) -> list[dict[str, Any]]:
    """Who signed an audit, oldest first; `current`: since then nothing has changed."""
    standing = _standing_of(conn, found)
    return [
        {**row._mapping, "current": all(getattr(row, name) == value for name, value in standing.items())}
        for row in queries.signatures(conn, found.id)
    ]


def decide(conn: Connection, found: AnyRow, now: datetime) -> None:
    """See what an audit's figures come to. `found`: its row, which the caller has locked.

    It has failed as soon as it cannot pass any more; its other seats are still given out, so that the rates
    by stage, reviewer and supplier rest on the whole sample.
    """
    complete = not queries.is_anything_left(conn, found)
    if complete:
        queries.change(conn, found.id, dealing=False)
    if found.state is not AuditState.OPEN:
        return
    if found.wrong > found.allowed_wrong:
        _end(conn, found, AuditState.FAILED, now)
    elif complete:
        _end(conn, found, AuditState.PASSED if _is_sound(found) else AuditState.FAILED, now)


def guard_release(conn: Connection, *, audited: bool) -> None:
    """Raises Conflict `audit_failed`, and if only what is `audited` may be released `audit_required`."""
    bad = queries.failed(conn)
    if bad is not None:
        detail = f"Audit {bad.id} of {words(bad)} failed: {bad.wrong} of {bad.judged} images were wrong. "
        raise Conflict("audit_failed", detail + "Send its lot back first.")
    if not audited:
        return
    missing = queries.uncovered(conn)
    if missing is not None:
        detail = f"Accepted images of {words(missing)} are covered by no audit that has passed."
        raise Conflict("audit_required", detail)


def told_before(conn: Connection, moment: datetime) -> list[str]:
    """The audits that were decided before a moment, each in a line, and one for each signature."""
    lines: list[str] = []
    for found in queries.decided_before(conn, moment):
        share = f"{share_of(found.tolerable_rate)} tolerable, {share_of(found.confidence)} confidence"
        lines.append(
            f"Audit {found.id} of {words(found)}, drawn {rfc3339(found.drawn_at)}: {found.state}; "
            f"{found.wrong} of {found.judged} judged images were wrong, lot {found.lot}, {share}."
        )
        for row in queries.signatures(conn, found.id):
            said = f": {row.comment}" if row.comment else ""
            lines.append(f"Audit {found.id} signed by {row.who}, {rfc3339(row.at)}: {row.opinion}{said}")
    return lines


def share_of(number: float) -> str:
    """A share in percent."""
    return f"{number * 100:g}%"


def words(row: AnyRow) -> str:
    """Which images, by `supplier` and `batch` of the row."""
    named = [f"{name} {getattr(row, name)!r}" for name in ("supplier", "batch") if getattr(row, name)]
    return " and ".join(named) or "everything accepted"


def _standing_of(conn: Connection, found: AnyRow) -> dict[str, int]:
    """What changes whenever something about an audit does."""
    return {"turns": queries.turns(conn, found.id), "judged": found.judged, "void": found.void}


def _size(lot: int, wanted: Wanted) -> int:
    size = sample_size(lot, wanted.tolerable_rate, wanted.confidence, wanted.allowed_wrong)
    if size is None or size > MOST_SAMPLED:
        text = f"of {lot} images more than {MOST_SAMPLED} would have to be judged; bear more"
        raise field_error("tolerable_rate", text)
    return size


def _scope(conn: Connection, wanted: Wanted) -> tuple[int | None, int | None]:
    found: list[int | None] = []
    tables: tuple[tuple[str, type[Supplier] | type[Batch], str | None], ...] = (
        ("supplier", Supplier, wanted.supplier),
        ("batch", Batch, wanted.batch),
    )
    for path, table, name in tables:
        scope_id = None if name is None else queries.scope_id(conn, table, name)
        if name is not None and scope_id is None:
            raise field_error(path, f"there is no {path} {name!r}")
        found.append(scope_id)
    return found[0], found[1]


def _name(supplier_id: int | None, batch_id: int | None) -> str:
    return f"supplier {supplier_id or 'any'}, batch {batch_id or 'any'}"


def _no_lot() -> Conflict:
    return Conflict("nothing_accepted", "None of these images is accepted, so there is no lot.")


def _standing(found: AnyRow) -> Conflict:
    if found.state is AuditState.FAILED:
        text = f"Audit {found.id} of {words(found)} failed; its lot has to go back before another one."
    else:
        text = f"Audit {found.id} of {words(found)} is open already."
    return Conflict("audit_standing", text)


def _is_sound(found: AnyRow) -> bool:
    """Whether the sample vouches for the lot; with images void and no spare left, a smaller one."""
    upper = lot_bounds(found.lot, found.judged, found.wrong, found.confidence).upper
    return bool(round(upper * found.lot) <= most_tolerable(found.lot, found.tolerable_rate))


def _end(conn: Connection, found: AnyRow, state: AuditState, now: datetime) -> None:
    passed = state is AuditState.PASSED
    queries.change(conn, found.id, state=state, decided_at=now, ended_at=now if passed else None)
    turn = AuditTurn.PASSED if passed else AuditTurn.FAILED
    reason = f"{found.wrong} of {found.judged} images were wrong"
    queries.add_event(conn, found.id, turn, now, by=None, reason=reason)
