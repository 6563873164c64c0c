"""Services over the API: ask for one, use it; admins decide and see the log."""

from typing import Any

from crowd.accounts.auth import actor, requires_active, requires_grade
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.datasets.models import Verdict
from crowd.datasets.schemas import AccessVerdictSchema, NewAccessRequestSchema
from crowd.datasets.services import service
from crowd.datasets.services.schemas import (
    OfferedServicesSchema,
    SaidSchema,
    ServiceRequestSchema,
    ServiceUseSchema,
)
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("services", __name__, description="What models say of images, for those who may ask.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/catalogue/services")
@requires_active
@blueprint.response(200, OfferedServicesSchema)
def list_offered() -> dict[str, Any]:
    """Every service, and how the caller's request for it stands; for everybody."""
    with runtime().db.read() as conn:
        return {"items": service.offered(conn, actor())}


@blueprint.route("/services/<stage>/images/<int:image_id>")
@requires_active
@blueprint.response(200, SaidSchema)
def tell(stage: str, image_id: int) -> dict[str, Any]:
    """What the stage's model says of an image of a release that the caller may fetch. Each use is noted."""
    with runtime().db.begin() as conn:
        return service.tell(conn, actor(), service.stage_named(stage), image_id, clock.now())


@blueprint.route("/services/<stage>/requests", methods=["POST"])
@requires_active
@blueprint.arguments(NewAccessRequestSchema)
@blueprint.response(201, ServiceRequestSchema)
def ask(body: dict[str, Any], stage: str) -> AnyRow:
    """Ask to use the service; an admin decides."""
    with runtime().db.begin() as conn:
        return service.DESK.ask(conn, actor(), service.stage_named(stage), body["purpose"], clock.now())


@blueprint.route("/services/<stage>/requests")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ServiceRequestSchema))
def list_requests(query: dict[str, Any], stage: str) -> Page:
    """Requests for the service, oldest first: everybody's for admins, else one's own."""
    limit, caller, asked = query["limit"], actor(), service.stage_named(stage)
    by = None if caller.is_admin else caller.id
    with runtime().db.read() as conn:
        rows = service.DESK.requests(conn, asked, by=by, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/services/<stage>/requests/<int:request_id>/approve", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, ServiceRequestSchema)
def approve(body: dict[str, Any], stage: str, request_id: int) -> AnyRow:
    """The person may use the service from now on."""
    return _decide(body, stage, request_id, Verdict.APPROVED)


@blueprint.route("/services/<stage>/requests/<int:request_id>/deny", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, ServiceRequestSchema)
def deny(body: dict[str, Any], stage: str, request_id: int) -> AnyRow:
    """The person may not use the service, and is told why."""
    return _decide(body, stage, request_id, Verdict.DENIED)


@blueprint.route("/services/<stage>/requests/<int:request_id>/revoke", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, ServiceRequestSchema)
def revoke(body: dict[str, Any], stage: str, request_id: int) -> AnyRow:
    """The person may use the service no longer."""
    return _decide(body, stage, request_id, Verdict.REVOKED)


@blueprint.route("/services/<stage>/uses")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ServiceUseSchema))
def list_uses(query: dict[str, Any], stage: str) -> Page:
    """Who used the service, for which image, and when, oldest first."""
    limit, asked = query["limit"], service.stage_named(stage)
    with runtime().db.read() as conn:
        rows = service.DESK.uses(conn, asked, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


def _decide(body: dict[str, Any], stage: str, request_id: int, verdict: Verdict) -> AnyRow:
    asked = service.stage_named(stage)
    with runtime().db.begin() as conn:
        return service.DESK.decide(conn, actor(), asked, request_id, verdict, body["reason"], clock.now())
