"""The registry of models and what their candidates did, over HTTP: for admins. Knows no torch."""

from typing import Any

from werkzeug.datastructures import FileStorage

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.ml import queries, service, uses
from crowd.ml.schemas import (
    CandidateFiguresSchema,
    ModelEventSchema,
    ModelFileSchema,
    ModelListArgs,
    ModelSchema,
    NewModelSchema,
    ServingSchema,
    WhySchema,
)
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("models", __name__, description="Models, and what their candidates did.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/models", methods=["POST"])
@admins_only
@blueprint.arguments(NewModelSchema, location="form")
@blueprint.arguments(ModelFileSchema, location="files")
@blueprint.response(201, ModelSchema)
def add_model(form: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """Register a file as the next version of a model; one larger than uploads may be: `crowd model add`."""
    rt = runtime()
    sent: FileStorage = files["file"]
    kept = service.keep_file(rt.storage, sent.stream)
    return _shown(service.add(rt, kept, form["name"], by=actor().id, now=clock.now()))


@blueprint.route("/models")
@admins_only
@blueprint.arguments(ModelListArgs, location="query")
@blueprint.response(200, paged(ModelSchema))
def list_models(query: dict[str, Any]) -> Page:
    """Every version, or those of one stage, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.models(conn, query["stage"], query["cursor"], limit + 1)
    return page([_shown(row) for row in rows], limit, lambda row: row["id"])


@blueprint.route("/models/events")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ModelEventSchema))
def list_events(query: dict[str, Any]) -> Page:
    """What happened to models, newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.events(conn, None, query["cursor"], limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/models/<int:model_id>")
@admins_only
@blueprint.response(200, ModelSchema)
def show_model(model_id: int) -> dict[str, Any]:
    """One version."""
    with runtime().db.read() as conn:
        return _shown(service.find(conn, model_id))


@blueprint.route("/models/<int:model_id>/promote", methods=["POST"])
@admins_only
@blueprint.arguments(WhySchema)
@blueprint.response(200, ServingSchema)
def promote(body: dict[str, Any], model_id: int) -> dict[str, Any]:
    """Have this version make its stage's candidates from now on."""
    rt = runtime()
    with rt.db.begin() as conn:
        row = service.promote(conn, model_id, by=actor().id, why=body["reason"], now=clock.now())
    rt.queue.nudge("candidates")
    return {"stage": row.stage, "model": _shown(row)}


@blueprint.route("/models/<int:model_id>/rollback", methods=["POST"])
@admins_only
@blueprint.arguments(WhySchema)
@blueprint.response(200, ServingSchema)
def roll_back(body: dict[str, Any], model_id: int) -> dict[str, Any]:
    """This version stops serving; the one it replaced serves again, if there was one."""
    rt = runtime()
    with rt.db.begin() as conn:
        stage = service.find(conn, model_id).stage
        row = service.roll_back(conn, model_id, by=actor().id, why=body["reason"], now=clock.now())
    rt.queue.nudge("candidates")
    return {"stage": stage, "model": _shown(row) if row else None}


@blueprint.route("/stats/candidates")
@admins_only
@blueprint.response(200, CandidateFiguresSchema)
def show_figures() -> dict[str, Any]:
    """What candidates did: acceptance, edits, time with and without, by stage and model."""
    with runtime().db.read() as conn:
        return {"items": uses.figures(conn)}


def _shown(row: AnyRow) -> dict[str, Any]:
    return {**row._mapping, "title": service.title(row.name, row.version), "sha256": row.sha256.hex()}
