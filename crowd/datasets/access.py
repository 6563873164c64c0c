"""Who may fetch a release: people ask and say what for, admins decide and say why; each fetch is noted."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.accounts.auth import Actor
from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound, field_error
from crowd.datasets import access_queries, queries, service
from crowd.datasets.models import Verdict
from crowd.datasets.records import Split
from crowd.ml.service import Added

# The verdicts that may follow the one that holds (None: nobody has decided yet).
NEXT: Mapping[Verdict | None, frozenset[Verdict]] = {
    None: frozenset({Verdict.APPROVED, Verdict.DENIED}),
    Verdict.APPROVED: frozenset({Verdict.REVOKED}),
    Verdict.DENIED: frozenset({Verdict.APPROVED}),
    Verdict.REVOKED: frozenset({Verdict.APPROVED}),
}


def ask(conn: Connection, actor: Actor, release_id: int, purpose: str, now: datetime) -> AnyRow:
    """Ask for a release. Raises NotFound, and Conflict where there is no need."""
    service.find_release(conn, release_id)
    access_queries.lock_person(conn, actor.id)
    refuse_needless(access_queries.requests_of(conn, actor.id, release_id))
    request_id = access_queries.add_request(conn, release_id, actor.id, purpose, now)
    return find_request(conn, release_id, request_id)


def decide(
    conn: Connection,
    actor: Actor,
    found: AnyRow,
    verdict: Verdict,
    reason: str,
    now: datetime,
) -> AnyRow:
    """Decide about a request. Raises Forbidden for one's own, and Conflict."""
    check_decider(actor, found)
    access_queries.lock_request(conn, found.id)
    check_turn(find_request(conn, found.release_id, found.id), verdict)
    access_queries.add_decision(conn, found.id, verdict, reason, actor.id, now)
    return find_request(conn, found.release_id, found.id)


def refuse_needless(earlier: Iterable[AnyRow]) -> None:
    """Raises Conflict where a person's earlier requests for the same leave nothing to be asked."""
    for request in earlier:
        if request.verdict is None:
            raise Conflict("already_asked", f"Request {request.id} is not decided yet.")
        if request.verdict is Verdict.APPROVED:
            raise Conflict("already_granted", f"Request {request.id} was approved already.")


def check_decider(actor: Actor, found: AnyRow) -> None:
    """Raises Forbidden for a request of one's own."""
    if found.worker_id == actor.id:
        raise Forbidden("own_request", "Nobody decides about a request of their own.")


def check_turn(request: AnyRow, verdict: Verdict) -> None:
    """Raises Conflict for a verdict that may not follow the one that holds."""
    if verdict not in NEXT[request.verdict]:
        stands = request.verdict.value if request.verdict else "not decided"
        raise Conflict("not_open", f"Request {request.id} is {stands}; it cannot be {verdict.value} now.")


def find_request(conn: Connection, release_id: int, request_id: int) -> AnyRow:
    """The request for that release. Raises NotFound."""
    found = access_queries.request(conn, request_id)
    if found is None or found.release_id != release_id:
        raise NotFound("no_such_request", f"There is no request {request_id} for release {release_id}.")
    return found


def grant_of(conn: Connection, actor: Actor, release_id: int) -> int | None:
    """The request that allows the caller to fetch the release; None for admins and auditors, who need none.

    Raises Forbidden `not_granted`.
    """
    if actor.sees_all:
        return None
    request_id = _approved(conn, actor, release_id)
    if request_id is None:
        raise Forbidden(
            "not_granted", f"Ask for release {release_id} first: POST /releases/{release_id}/requests."
        )
    return request_id


def is_granted(conn: Connection, actor: Actor, release_id: int) -> bool:
    """Whether the caller may fetch the release."""
    return actor.sees_all or _approved(conn, actor, release_id) is not None


def _approved(conn: Connection, actor: Actor, release_id: int) -> int | None:
    for request in access_queries.requests_of(conn, actor.id, release_id):
        if request.verdict is Verdict.APPROVED:
            request_id: int = request.id
            return request_id
    return None


def standing(conn: Connection, actor: Actor, release_id: int) -> str | None:
    """How the caller's newest request for the release stands; None if there is none."""
    found = access_queries.requests_of(conn, actor.id, release_id)
    if not found:
        return None
    verdict: Verdict | None = found[0].verdict
    return verdict.value if verdict else "asked"


def note_download(conn: Connection, actor: Actor, export: AnyRow, now: datetime) -> None:
    """The caller fetches an export, which is written down. Raises Forbidden, and Conflict `not_done`."""
    request_id = grant_of(conn, actor, export.release_id)
    if not access_queries.is_done(export):
        raise Conflict("not_done", f"Job {export.id} is {export.state}; its files come when it is done.")
    access_queries.add_download(conn, export, actor.id, request_id, now)


def add_result(
    conn: Connection,
    actor: Actor,
    release_id: int,
    model: str,
    model_id: int | None,
    split: Split,
    figures: Mapping[str, float],
    now: datetime,
) -> int:
    """Attach what a model achieved. Raises NotFound, and a 422 about `figures` or `model_id`."""
    service.find_release(conn, release_id)
    if not figures:
        raise field_error("figures", "at least one figure")
    try:
        with conn.begin_nested():
            return access_queries.add_result(
                conn,
                release_id=release_id,
                model_id=model_id,
                model=model,
                split=split,
                figures=dict(figures),
                actor_id=actor.id,
                at=now,
            )
    except IntegrityError:
        raise field_error("model_id", f"there is no model {model_id}") from None


def note_trained(conn: Connection, added: Added, now: datetime) -> None:
    """A model that was trained on a release of ours brings its test result along when it is registered."""
    trained = added.card.release
    if trained is None or trained.split not in set(Split):
        return
    release = queries.release_named(conn, trained.name)
    figures = {
        name: value
        for name, value in added.card.metrics.items()
        if isinstance(value, float) and math.isfinite(value)
    }
    # Another installation may have had a release of that name.
    if release is None or rfc3339(release.created_at) != trained.created_at or not figures:
        return
    access_queries.add_result(
        conn,
        release_id=release.id,
        model_id=added.model_id,
        model=added.title,
        split=Split(trained.split),
        figures=figures,
        actor_id=added.by,
        at=now,
    )
