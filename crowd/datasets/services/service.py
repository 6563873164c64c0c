"""Who may ask a stage's model what it says of an image: the rules of releases, for services.

A service says nothing of images that the caller may not fetch: it takes a release of theirs that holds them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.errors import Forbidden, NotFound
from crowd.datasets import access
from crowd.datasets import queries as releases
from crowd.datasets.desk import Desk
from crowd.datasets.models import ServiceDecision, ServiceRequest, ServiceUse
from crowd.datasets.services import queries
from crowd.images import contracts
from crowd.ml import queries as models
from crowd.ml.service import title
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING

DESK: Desk[Stage] = Desk(ServiceRequest, ServiceDecision, ServiceUse, "stage", "the service {}")


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
            "access": DESK.standing(conn, actor, row.stage),
        }
        for row in models.served(conn)
        if row.model_id is not None
    ]


def tell(conn: Connection, actor: Actor, stage: Stage, image_id: int, now: datetime) -> dict[str, Any]:
    """What the stage's model says of a released image; the use is written down.

    Raises Forbidden without an approved request for the service and for a release that holds the image, or
    when the image may no longer be shown, and NotFound for an image that no model looked at.
    """
    request_id = _grant_of(conn, actor, stage)
    _require_release(conn, actor, image_id)
    # Tombstones are left by whoever looks at a release next; nobody may have.
    contracts.require_shown(conn, image_id, now.date())
    said = queries.said(conn, stage, image_id)
    if said is None:
        raise NotFound("nothing_said", f"No model of {stage} has looked at image {image_id}.")
    DESK.note_use(conn, actor, stage, request_id, now, image_id=image_id, model_id=said.model_id)
    return {
        "image_id": image_id,
        "stage": stage,
        "model": title(said.name, said.version),
        "candidates": said.value,
    }


def _grant_of(conn: Connection, actor: Actor, stage: Stage) -> int | None:
    """The request that allows it; None for admins, who need none. Raises Forbidden."""
    if actor.is_admin:
        return None
    request_id = DESK.approved(conn, actor, stage)
    if request_id is None:
        raise Forbidden("not_granted", f"Ask for the service first: POST /services/{stage}/requests.")
    return request_id


def _require_release(conn: Connection, actor: Actor, image_id: int) -> None:
    if actor.is_admin:
        return
    for release_id in releases.releases_with(conn, image_id):
        if access.is_granted(conn, actor, release_id):
            return
    raise Forbidden("not_granted", f"No release that you may fetch holds image {image_id}.")
