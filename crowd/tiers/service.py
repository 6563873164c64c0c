"""Moving people between grades, suspending, reinstating and erasing them: each change leaves a row."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts import queries as people
from crowd.accounts import service as accounts
from crowd.accounts.auth import Actor
from crowd.accounts.models import AccountKind
from crowd.accounts.names import pseudonym
from crowd.accounts.queries import Person
from crowd.accounts.service import NewPassword
from crowd.core.clock import now
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.policy import Grade
from crowd.tiers import look_queries, quality_queries, queries
from crowd.tiers.models import Standing

LONGEST_REASON = 1000

# Filled by the rooms above when the application is wired: called with the worker's id, in the same
# transaction, after a change that may take work out of that person's hands.
STANDING_HOOKS: list[Callable[[Connection, int], None]] = []


def join(
    conn: Connection,
    username: str,
    grade: Grade,
    *,
    by: Actor | None,
    password: NewPassword | None = None,
    reason: str = "",
    kind: AccountKind = AccountKind.CROWD,
) -> Person:
    """A new person of `grade`. Raises a 422 about `username`, or Conflict `username_taken`."""
    person = accounts.create_worker(conn, username, grade, password, kind)
    _record(conn, person.id, Standing.JOINED, (None, grade), by, reason)
    return person


def regrade(
    conn: Connection,
    worker_id: int,
    grade: Grade,
    *,
    by: Actor | None,
    reason: str,
    only_from: Grade | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Person:
    """Move a person to `grade`; the grade one has already changes nothing. `by` None: the command line.

    `only_from`: somebody in good standing who is of that grade now. `evidence`: what a rule went by; the row
    also keeps how much had been judged by then, since the rule goes by what comes after.
    Raises NotFound, Forbidden `yourself`, and Conflict `last_admin`, `account_kind`, `erased` or `outdated`.
    """
    person = _guard(conn, worker_id, by, leaves_admins=grade is not Grade.ADMIN)
    if person.kind is not AccountKind.CROWD:
        raise Conflict("account_kind", f"The account of a {person.kind} has no grade.")
    if only_from is not None and (person.suspended or person.grade is not only_from):
        raise Conflict("outdated", f"This person is no longer an active {only_from}.")
    if person.grade is grade:
        return person
    people.set_grade(conn, worker_id, grade)
    known = {**(evidence or {}), "judged": quality_queries.judged_of(conn, worker_id)}
    _record(conn, worker_id, Standing.GRADED, (person.grade, grade), by, reason, known)
    look_queries.look_again(conn, worker_id, now())
    _tell(conn, worker_id)
    return replace(person, grade=grade)


def suspend(
    conn: Connection,
    worker_id: int,
    *,
    by: Actor | None,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> Person:
    """Keep a person from working; again changes nothing. Raises what `regrade` raises."""
    person = _guard(conn, worker_id, by, leaves_admins=True)
    if person.suspended:
        return person
    people.set_suspended(conn, worker_id, now())
    _record(conn, worker_id, Standing.SUSPENDED, (person.grade, person.grade), by, reason, evidence)
    _tell(conn, worker_id)
    return replace(person, suspended=True)


def reinstate(conn: Connection, worker_id: int, *, by: Actor | None, reason: str) -> Person:
    """Let a suspended person work again. Raises NotFound, Forbidden `yourself`, Conflict `erased`."""
    person = _guard(conn, worker_id, by, leaves_admins=False)
    if not person.suspended:
        return person
    people.set_suspended(conn, worker_id, None)
    _record(conn, worker_id, Standing.REINSTATED, (person.grade, person.grade), by, reason)
    look_queries.look_again(conn, worker_id, now())
    return replace(person, suspended=False)


def erase(conn: Connection, worker_id: int, *, by: Actor | None, reason: str) -> Person:
    """Take a person's data away for good: name, password, sessions, tokens; the history stays.

    Raises NotFound, Forbidden `yourself`, and Conflict `last_admin`, `account_kind` or `erased`.
    """
    person = _guard(conn, worker_id, by, leaves_admins=True)
    accounts.erase_person(conn, worker_id)
    _record(conn, worker_id, Standing.ERASED, (person.grade, person.grade), by, reason)
    _tell(conn, worker_id)
    return replace(person, username=pseudonym(worker_id), erased=True)


def _guard(conn: Connection, worker_id: int, by: Actor | None, *, leaves_admins: bool) -> Person:
    """The person whose standing may be changed now, locked together with the admins.

    Under the lock nobody else changes an admin's standing: of two admins who demote each other at
    the same moment the second one finds itself demoted, or the other the last.
    """
    standing = people.lock_standing(conn, worker_id)
    person = next((one for one in standing if one.id == worker_id), None)
    admins = {one.id for one in standing if _is_active_admin(one)}
    if person is None:
        raise NotFound("not_found", f"There is no worker {worker_id}.")
    if by and by.id == worker_id:
        raise Forbidden("yourself", "Nobody changes their own standing.")
    if person.erased:
        raise Conflict("erased", "This person has been erased.")
    if leaves_admins and admins == {worker_id}:
        raise Conflict("last_admin", "The last admin stays.")
    if by and by.id not in admins:
        raise Forbidden("grade", "This is for admins only.")
    return person


def _is_active_admin(person: Person) -> bool:
    return person.grade is Grade.ADMIN and not person.suspended and not person.erased


def _record(
    conn: Connection,
    worker_id: int,
    what: Standing,
    grades: tuple[Grade | None, Grade],
    by: Actor | None,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    old, new = grades
    queries.record(
        conn,
        worker_id,
        what,
        old=old,
        new=new,
        actor_id=by.id if by else None,
        reason=reason,
        at=now(),
        evidence=evidence,
    )


def _tell(conn: Connection, worker_id: int) -> None:
    for hook in STANDING_HOOKS:
        hook(conn, worker_id)
