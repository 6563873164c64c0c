"""Who may ask a stage's model what it says of an image: the rules of releases, for services.

A service says nothing of images that the caller may not fetch: it takes a release of theirs that holds them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden, NotFound
from crowd.datasets import access, access_queries
from crowd.datasets import queries as releases
from crowd.datasets.models import Verdict
from crowd.datasets.services import queries
from crowd.ml import queries as models
from crowd.ml.service import title
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING


def stage_named(name: str) -> Stage:
    """The stage of a service. Raises NotFound."""
    if name not in {stage.value for stage in LABELLING}:
        raise NotFound("no_such_service", f"There is no service {name[:40]!r}.")
    return Stage(name)


def offered(conn: Connection, actor: Actor) -> list[dict[str, Any]]:
    """Every stage with a model that serves, and how the caller's newest request for it stands."""
    return [
        {
            "stage": row.stage,
            "model": title(row.name, row.version),
            "access": _standing(conn, actor, row.stage),
        }
        for row in models.served(conn)
        if row.model_id is not None
    ]


def ask(conn: Connection, actor: Actor, stage: Stage, purpose: str, now: datetime) -> AnyRow:
    """Ask for a service. Raises Conflict where there is no need."""
    access_queries.lock_person(conn, actor.id)
    access.refuse_needless(queries.requests_of(conn, actor.id, stage))
    return find_request(conn, stage, queries.add_request(conn, stage, actor.id, purpose, now))


def decide(
    conn: Connection,
    actor: Actor,
    stage: Stage,
    request_id: int,
    verdict: Verdict,
    reason: str,
    now: datetime,
) -> AnyRow:
    """Decide about a request. Raises NotFound, Forbidden, and Conflict."""
    access.check_decider(actor, find_request(conn, stage, request_id))
    queries.lock_request(conn, request_id)
    access.check_turn(find_request(conn, stage, request_id), verdict)
    queries.add_decision(conn, request_id, verdict, reason, actor.id, now)
    return find_request(conn, stage, request_id)


def find_request(conn: Connection, stage: Stage, request_id: int) -> AnyRow:
    """The request for that service. Raises NotFound."""
    found = queries.request(conn, request_id)
    if found is None or found.stage is not stage:
        raise NotFound("no_such_request", f"There is no request {request_id} for the service {stage}.")
    return found


def tell(conn: Connection, actor: Actor, stage: Stage, image_id: int, now: datetime) -> dict[str, Any]:
    """What the stage's model says of a released image; the use is written down.

    Raises Forbidden without an approved request for the service and for a release that holds the image, and
    NotFound for an image that no model looked at.
    """
    request_id = _grant_of(conn, actor, stage)
    _require_release(conn, actor, image_id)
    said = queries.said(conn, stage, image_id)
    if said is None:
        raise NotFound("nothing_said", f"No model of {stage} has looked at image {image_id}.")
    queries.add_use(conn, stage, image_id, said.model_id, actor.id, request_id, now)
    return {
        "image_id": image_id,
        "stage": stage,
        "model": title(said.name, said.version),
        "candidates": said.value,
    }


def _standing(conn: Connection, actor: Actor, stage: Stage) -> str | None:
    found = queries.requests_of(conn, actor.id, stage)
    if not found:
        return None
    verdict: Verdict | None = found[0].verdict
    return verdict.value if verdict else "asked"


def _grant_of(conn: Connection, actor: Actor, stage: Stage) -> int | None:
    """The request that allows it; None for admins, who need none. Raises Forbidden."""
    if actor.is_admin:
        return None
    for request in queries.requests_of(conn, actor.id, stage):
        if request.verdict is Verdict.APPROVED:
            request_id: int = request.id
            return request_id
    raise Forbidden("not_granted", f"Ask for the service first: POST /services/{stage}/requests.")


def _require_release(conn: Connection, actor: Actor, image_id: int) -> None:
    if actor.is_admin:
        return
    for release_id in releases.releases_with(conn, image_id):
        if access.is_granted(conn, actor, release_id):
            return
    raise Forbidden("not_granted", f"No release that you may fetch holds image {image_id}.")
