"""Who may fetch a model's file: the rules of releases, for models."""

from datetime import datetime

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden, NotFound
from crowd.datasets import access, access_queries
from crowd.datasets.models import Verdict
from crowd.datasets.offered import queries
from crowd.ml import service as models


def ask(conn: Connection, actor: Actor, model_id: int, purpose: str, now: datetime) -> AnyRow:
    """Ask for a model. Raises NotFound, and Conflict where there is no need."""
    models.find(conn, model_id)
    access_queries.lock_person(conn, actor.id)
    access.refuse_needless(queries.requests_of(conn, actor.id, model_id))
    return find_request(conn, model_id, queries.add_request(conn, model_id, actor.id, purpose, now))


def decide(
    conn: Connection,
    actor: Actor,
    model_id: int,
    request_id: int,
    verdict: Verdict,
    reason: str,
    now: datetime,
) -> AnyRow:
    """Decide about a request. Raises NotFound, Forbidden, and Conflict."""
    access.check_decider(actor, find_request(conn, model_id, request_id))
    queries.lock_request(conn, request_id)
    access.check_turn(find_request(conn, model_id, request_id), verdict)
    queries.add_decision(conn, request_id, verdict, reason, actor.id, now)
    return find_request(conn, model_id, request_id)


def find_request(conn: Connection, model_id: int, request_id: int) -> AnyRow:
    """The request for that model. Raises NotFound."""
    found = queries.request(conn, request_id)
    if found is None or found.model_id != model_id:
        raise NotFound("no_such_request", f"There is no request {request_id} for model {model_id}.")
    return found


def standing(conn: Connection, actor: Actor, model_id: int) -> str | None:
    """How the caller's newest request for the model stands; None if there is none."""
    found = queries.requests_of(conn, actor.id, model_id)
    if not found:
        return None
    verdict: Verdict | None = found[0].verdict
    return verdict.value if verdict else "asked"


def note_fetch(conn: Connection, actor: Actor, model_id: int, now: datetime) -> AnyRow:
    """The caller fetches a model, which is written down. Returns its row. Raises NotFound and Forbidden."""
    found = models.find(conn, model_id)
    queries.add_fetch(conn, model_id, actor.id, _grant_of(conn, actor, model_id), now)
    return found


def _grant_of(conn: Connection, actor: Actor, model_id: int) -> int | None:
    """The request that allows it; None for admins, who need none. Raises Forbidden."""
    if actor.is_admin:
        return None
    for request in queries.requests_of(conn, actor.id, model_id):
        if request.verdict is Verdict.APPROVED:
            request_id: int = request.id
            return request_id
    raise Forbidden("not_granted", f"Ask for model {model_id} first: POST /models/{model_id}/requests.")
