"""Desks: people ask for what is not everybody's and say what for, admins decide and say why, uses are noted.

Releases, models and services have one each, with tables of its own. What it is that is asked for, and who
need not ask, a desk does not know.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, Base
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.datasets.models import Verdict

K = TypeVar("K")

# The verdicts that may follow the one that holds (None: nobody has decided yet).
NEXT: Mapping[Verdict | None, frozenset[Verdict]] = {
    None: frozenset({Verdict.APPROVED, Verdict.DENIED}),
    Verdict.APPROVED: frozenset({Verdict.REVOKED}),
    Verdict.DENIED: frozenset({Verdict.APPROVED}),
    Verdict.REVOKED: frozenset({Verdict.APPROVED}),
}


class Desk(Generic[K]):
    """Where people ask for things of one kind; each is named by its key.

    `key` is the column that holds it in the tables of requests and uses, `words` how a thing is called.
    """

    def __init__(
        self, requests: type[Base], decisions: type[Base], uses: type[Base], key: str, words: str
    ) -> None:
        self._requests, self._decisions, self._uses = map(_table, (requests, decisions, uses))
        self._key, self._words = key, words
        self._asked = self._with_decisions()

    def _with_decisions(self) -> sa.Select[Any]:
        """Every request with the decision that holds, if there is one."""
        requests, decisions = self._requests, self._decisions
        newest = (
            sa.select(sa.func.max(decisions.c.id))
            .where(decisions.c.request_id == requests.c.id)
            .correlate(requests)
            .scalar_subquery()
        )
        return (
            sa.select(
                *requests.c,
                Worker.username,
                decisions.c.verdict,
                decisions.c.reason,
                decisions.c.at.label("decided_at"),
            )
            .join_from(requests, Worker, Worker.id == requests.c.worker_id)
            .outerjoin(decisions, decisions.c.id == newest)
        )

    def ask(self, conn: Connection, actor: Actor, key: K, purpose: str, now: datetime) -> AnyRow:
        """A new request. Raises Conflict where there is no need."""
        # Of two requests of one person at once, the second waits here and sees the first.
        conn.execute(sa.select(Worker.id).where(Worker.id == actor.id).with_for_update(key_share=True)).one()
        _refuse_needless(self._asked_by(conn, actor, key))
        values = {self._key: key, "worker_id": actor.id, "purpose": purpose, "at": now}
        added = sa.insert(self._requests).values(values).returning(self._requests.c.id)
        return self.find(conn, key, conn.execute(added).scalar_one())

    def decide(
        self,
        conn: Connection,
        actor: Actor,
        key: K,
        request_id: int,
        verdict: Verdict,
        reason: str,
        now: datetime,
    ) -> AnyRow:
        """Decide about a request. Raises NotFound, Forbidden for one's own, and Conflict."""
        if self.find(conn, key, request_id).worker_id == actor.id:
            raise Forbidden("own_request", "Nobody decides about a request of their own.")
        # Of two decisions at once, the second waits here and sees the first.
        found = sa.select(self._requests.c.id).where(self._requests.c.id == request_id)
        conn.execute(found.with_for_update()).one()
        _check_turn(self.find(conn, key, request_id), verdict)
        conn.execute(
            sa.insert(self._decisions).values(
                request_id=request_id, verdict=verdict, reason=reason, actor_id=actor.id, at=now
            )
        )
        return self.find(conn, key, request_id)

    def find(self, conn: Connection, key: K, request_id: int) -> AnyRow:
        """The request for that thing. Raises NotFound."""
        found = conn.execute(self._asked.where(self._requests.c.id == request_id)).one_or_none()
        if found is None or getattr(found, self._key) != key:
            called = self._words.format(key)
            raise NotFound("no_such_request", f"There is no request {request_id} for {called}.")
        return found

    def requests(
        self, conn: Connection, key: K, *, by: int | None, after: int, limit: int
    ) -> Sequence[AnyRow]:
        """Requests for a thing, oldest first; of one person, if `by` names one."""
        wanted = self._asked.where(self._requests.c[self._key] == key, self._requests.c.id > after)
        if by is not None:
            wanted = wanted.where(self._requests.c.worker_id == by)
        return conn.execute(wanted.order_by(self._requests.c.id).limit(limit)).all()

    def standing(self, conn: Connection, actor: Actor, key: K) -> str | None:
        """How the caller's newest request for the thing stands; None if there is none."""
        found = self._asked_by(conn, actor, key)
        if not found:
            return None
        verdict: Verdict | None = found[0].verdict
        return verdict.value if verdict else "asked"

    def approved(self, conn: Connection, actor: Actor, key: K) -> int | None:
        """The request that allows the caller to use the thing; None if none does."""
        for request in self._asked_by(conn, actor, key):
            if request.verdict is Verdict.APPROVED:
                request_id: int = request.id
                return request_id
        return None

    def note_use(
        self, conn: Connection, actor: Actor, key: K, request_id: int | None, now: datetime, **more: Any
    ) -> None:
        """The caller uses the thing, as `request_id` allows; `more`: what else the table of uses tells."""
        values = {self._key: key, "worker_id": actor.id, "request_id": request_id, "at": now, **more}
        conn.execute(sa.insert(self._uses).values(values))

    def uses(self, conn: Connection, key: K, *, after: int, limit: int) -> Sequence[AnyRow]:
        """Who used a thing, and when, oldest first."""
        return conn.execute(
            sa.select(*self._uses.c, Worker.username)
            .join_from(self._uses, Worker, Worker.id == self._uses.c.worker_id)
            .where(self._uses.c[self._key] == key, self._uses.c.id > after)
            .order_by(self._uses.c.id)
            .limit(limit)
        ).all()

    def _asked_by(self, conn: Connection, actor: Actor, key: K) -> Sequence[AnyRow]:
        """What the caller asked about a thing, newest first."""
        requests = self._requests.c
        mine = self._asked.where(requests.worker_id == actor.id, requests[self._key] == key)
        return conn.execute(mine.order_by(requests.id.desc())).all()


def _table(rows: type[Base]) -> sa.Table:
    table = rows.__table__
    assert isinstance(table, sa.Table)
    return table


def _refuse_needless(earlier: Iterable[AnyRow]) -> None:
    for request in earlier:
        if request.verdict is None:
            raise Conflict("already_asked", f"Request {request.id} is not decided yet.")
        if request.verdict is Verdict.APPROVED:
            raise Conflict("already_granted", f"Request {request.id} was approved already.")


def _check_turn(request: AnyRow, verdict: Verdict) -> None:
    if verdict not in NEXT[request.verdict]:
        stands = request.verdict.value if request.verdict else "not decided"
        raise Conflict("not_open", f"Request {request.id} is {stands}; it cannot be {verdict.value} now.")
