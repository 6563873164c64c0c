"""Models over the API for people who want to use them: ask, fetch; admins decide and see the log."""

from typing import Any

from flask import Response, redirect, send_file

from crowd.accounts.auth import actor, requires_active, requires_grade
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import NotFound
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.datasets.models import Verdict
from crowd.datasets.offered import queries, service
from crowd.datasets.offered.schemas import ModelFetchSchema, ModelRequestSchema, OfferedModelSchema
from crowd.datasets.schemas import AccessVerdictSchema, NewAccessRequestSchema
from crowd.ml import service as models
from crowd.policy import Grade
from crowd.runtime import runtime

MIMETYPE = "application/octet-stream"

blueprint = Blueprint("offered_models", __name__, description="Models that people may ask for.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/catalogue/models")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(OfferedModelSchema))
def list_offered(query: dict[str, Any]) -> Page:
    """Every model, and how the caller's request for it stands; for everybody."""
    limit, caller = query["limit"], actor()
    with runtime().db.read() as conn:
        rows = queries.models(conn, after=query["cursor"] or 0, limit=limit + 1)
        offered = [{**row._mapping, "access": service.DESK.standing(conn, caller, row.id)} for row in rows]
    return page(offered, limit, lambda row: row["id"])


@blueprint.route("/models/<int:model_id>/requests", methods=["POST"])
@requires_active
@blueprint.arguments(NewAccessRequestSchema)
@blueprint.response(201, ModelRequestSchema)
def ask(body: dict[str, Any], model_id: int) -> AnyRow:
    """Ask to fetch the model; an admin decides."""
    with runtime().db.begin() as conn:
        return service.ask(conn, actor(), model_id, body["purpose"], clock.now())


@blueprint.route("/models/<int:model_id>/requests")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ModelRequestSchema))
def list_requests(query: dict[str, Any], model_id: int) -> Page:
    """Requests for the model, oldest first: everybody's for admins, else one's own."""
    limit, caller = query["limit"], actor()
    by = None if caller.is_admin else caller.id
    with runtime().db.read() as conn:
        models.find(conn, model_id)
        rows = service.DESK.requests(conn, model_id, by=by, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/models/<int:model_id>/requests/<int:request_id>/approve", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, ModelRequestSchema)
def approve(body: dict[str, Any], model_id: int, request_id: int) -> AnyRow:
    """The person may fetch the model from now on."""
    return _decide(body, model_id, request_id, Verdict.APPROVED)


@blueprint.route("/models/<int:model_id>/requests/<int:request_id>/deny", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, ModelRequestSchema)
def deny(body: dict[str, Any], model_id: int, request_id: int) -> AnyRow:
    """The person may not fetch the model, and is told why."""
    return _decide(body, model_id, request_id, Verdict.DENIED)


@blueprint.route("/models/<int:model_id>/requests/<int:request_id>/revoke", methods=["POST"])
@admins_only
@blueprint.arguments(AccessVerdictSchema)
@blueprint.response(200, ModelRequestSchema)
def revoke(body: dict[str, Any], model_id: int, request_id: int) -> AnyRow:
    """The person may fetch the model no longer."""
    return _decide(body, model_id, request_id, Verdict.REVOKED)


@blueprint.route("/models/<int:model_id>/fetches")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ModelFetchSchema))
def list_fetches(query: dict[str, Any], model_id: int) -> Page:
    """Who fetched the model, and when, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        models.find(conn, model_id)
        rows = service.DESK.uses(conn, model_id, after=query["cursor"] or 0, limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/models/<int:model_id>/file")
@requires_active
@blueprint.doc(responses={200: {"description": "The file.", "content": {MIMETYPE: {}}}})
def fetch(model_id: int) -> Response:
    """The model's file (safetensors), for admins and those who were approved. Each fetch is noted."""
    rt = runtime()
    with rt.db.read() as conn:
        key = models.find(conn, model_id).file
    if not rt.storage.exists(key):
        raise NotFound("file_gone", f"The file of model {model_id} was removed from the storage.")
    with rt.db.begin() as conn:
        found = service.note_fetch(conn, actor(), model_id, clock.now())
    name = f"{found.name}-{found.version}.safetensors"
    address = rt.storage.address(key, mimetype=MIMETYPE, name=name)
    if address is not None:
        return redirect(address)  # type: ignore[return-value]
    return send_file(rt.storage.local(key), mimetype=MIMETYPE, as_attachment=True, download_name=name)


def _decide(body: dict[str, Any], model_id: int, request_id: int, verdict: Verdict) -> AnyRow:
    with runtime().db.begin() as conn:
        reason = body["reason"]
        return service.DESK.decide(conn, actor(), model_id, request_id, verdict, reason, clock.now())
