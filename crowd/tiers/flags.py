"""Flags: something speaks against a person's answers, and an admin says whether it holds.

Whoever notices it (a detector, failed gold) opens a flag with the numbers behind it; none of them
punishes. Each step leaves a row that is never changed.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts import queries as people
from crowd.accounts.auth import Actor
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.policy import Stage
from crowd.tiers import flag_queries as queries
from crowd.tiers import service
from crowd.tiers.flag_models import FlagCode, FlagState, FlagStep
from crowd.tiers.flag_queries import FlagRow

# More are not shown with a person: the list of flags has them all.
MOST_SHOWN = 100

_STEPS = {FlagState.CONFIRMED: FlagStep.CONFIRMED, FlagState.DISMISSED: FlagStep.DISMISSED}


def open_flag(
    conn: Connection,
    worker_id: int,
    code: FlagCode,
    *,
    evidence: Mapping[str, Any],
    at: datetime,
    stage: Stage | None = None,
    reason: str = "",
) -> int | None:
    """Open a flag about a person (at `stage`); `evidence` holds plain numbers and texts.

    Returns its id, or None when one like it is open already, which then stays as it is. Whoever holds
    locks of the engine may call it with the person locked: nothing but the flag is written.
    """
    flag_id = queries.insert_flag(conn, worker_id, code, stage, evidence, at)
    if flag_id is not None:
        queries.record(conn, flag_id, FlagStep.OPENED, actor_id=None, reason=reason, at=at, evidence=evidence)
    return flag_id


def flags_of(conn: Connection, worker_id: int, *, state: FlagState | None = None) -> list[FlagRow]:
    """A person's flags, oldest first; with `state` those that stand so."""
    return queries.flags(conn, state=state, worker_id=worker_id, limit=MOST_SHOWN)


def confirm(
    conn: Connection, flag_id: int, *, by: Actor | None, reason: str, suspends: bool, at: datetime
) -> FlagRow:
    """The flag holds; with `suspends` the person is suspended at once. `by` None: the command line.

    Raises NotFound, Forbidden `yourself`, Conflict `already_decided`, and what `service.suspend` raises.
    """
    flag = _guard(conn, flag_id, by)
    person = people.person(conn, flag.worker_id)
    # The person before the flag, like whoever opens one in the middle of an answer.
    if suspends and person is not None and not person.erased:
        why = f"{flag.code} confirmed: {reason}"[: service.LONGEST_REASON]
        shown = {"flag_id": flag.id, "code": flag.code.value, "stage": flag.stage and flag.stage.value}
        known = shown | {"evidence": flag.evidence}
        service.suspend(conn, flag.worker_id, by=by, reason=why, evidence=known)
    return _decide(conn, flag, FlagState.CONFIRMED, by, reason, at)


def dismiss(conn: Connection, flag_id: int, *, by: Actor | None, reason: str, at: datetime) -> FlagRow:
    """The flag does not hold. Raises NotFound, Forbidden `yourself`, Conflict `already_decided`."""
    return _decide(conn, _guard(conn, flag_id, by), FlagState.DISMISSED, by, reason, at)


def find_flag(conn: Connection, flag_id: int) -> FlagRow:
    """The flag. Raises NotFound."""
    flag = queries.flag(conn, flag_id)
    if flag is None:
        raise NotFound("not_found", f"There is no flag {flag_id}.")
    return flag


def _guard(conn: Connection, flag_id: int, by: Actor | None) -> FlagRow:
    flag = find_flag(conn, flag_id)
    if by and by.id == flag.worker_id:
        raise Forbidden("yourself", "Nobody decides about a flag of their own.")
    if flag.state is not FlagState.OPEN:
        raise _already(flag)
    return flag


def _decide(
    conn: Connection, flag: FlagRow, state: FlagState, by: Actor | None, reason: str, at: datetime
) -> FlagRow:
    actor_id = by.id if by else None
    if not queries.decide_flag(conn, flag.id, state, actor_id, reason, at):
        raise _already(flag)
    queries.record(conn, flag.id, _STEPS[state], actor_id=actor_id, reason=reason, at=at)
    return replace(flag, state=state, decided_at=at, by=by.username if by else None, reason=reason)


def _already(flag: FlagRow) -> Conflict:
    return Conflict("already_decided", f"Flag {flag.id} was decided before.")
