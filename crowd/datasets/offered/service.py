"""Who may fetch a model's file: the rules of releases, for models."""

from datetime import datetime

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden
from crowd.datasets.desk import Desk
from crowd.datasets.models import ModelDecision, ModelFetch, ModelRequest
from crowd.ml import service as models

DESK: Desk[int] = Desk(ModelRequest, ModelDecision, ModelFetch, "model_id", "model {}")


def ask(conn: Connection, actor: Actor, model_id: int, purpose: str, now: datetime) -> AnyRow:
    """Ask for a model. Raises NotFound, and Conflict where there is no need."""
    models.find(conn, model_id)
    return DESK.ask(conn, actor, model_id, purpose, now)


def note_fetch(conn: Connection, actor: Actor, model_id: int, now: datetime) -> AnyRow:
    """The caller fetches a model, which is written down. Returns its row. Raises NotFound and Forbidden."""
    found = models.find(conn, model_id)
    DESK.note_use(conn, actor, model_id, _grant_of(conn, actor, model_id), now)
    return found


def _grant_of(conn: Connection, actor: Actor, model_id: int) -> int | None:
    """The request that allows it; None for admins, who need none. Raises Forbidden."""
    if actor.is_admin:
        return None
    request_id = DESK.approved(conn, actor, model_id)
    if request_id is None:
        raise Forbidden("not_granted", f"Ask for model {model_id} first: POST /models/{model_id}/requests.")
    return request_id
