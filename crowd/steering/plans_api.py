"""Plans over HTTP, for admins."""

from typing import Any

from flask import Response

from crowd.accounts.auth import actor
from crowd.core import clock
from crowd.core.errors import NotFound
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.policy import Stage
from crowd.runtime import runtime
from crowd.steering import plans, queries, telling
from crowd.steering.api import CSV_NOTE, admins_only, as_csv, wants_csv
from crowd.steering.schemas import (
    FormatArgs,
    PlanEndSchema,
    PlanFiguresSchema,
    PlanSchema,
    PlanVersionSchema,
    listed,
)

blueprint = Blueprint("plans", __name__, description="Planned dates and volumes, by stage.")


@blueprint.route("/plans")
@admins_only
@blueprint.response(200, listed(PlanVersionSchema))
def list_plans() -> dict[str, Any]:
    """The plans that hold, in the order of the process."""
    with runtime().db.read() as conn:
        return {"items": [row._mapping for row in queries.plans(conn)], "waiting": telling.waiting(conn)}


@blueprint.route("/plans/<stage>", methods=["PUT"])
@admins_only
@blueprint.arguments(PlanSchema)
@blueprint.response(200, PlanVersionSchema)
def put_plan(body: dict[str, Any], stage: str) -> dict[str, Any]:
    """From now on this is the stage's plan; the one before stays in its history."""
    with runtime().db.begin() as conn:
        return plans.plan(conn, _stage(stage), body, by=actor().id, now=clock.now())


@blueprint.route("/plans/<stage>")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(PlanVersionSchema))
def list_versions(query: dict[str, Any], stage: str) -> Page:
    """Every plan the stage had, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.versions(conn, _stage(stage), query["cursor"], limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/plans/<stage>/drop", methods=["POST"])
@admins_only
@blueprint.arguments(PlanEndSchema)
@blueprint.response(204)
def drop_plan(body: dict[str, Any], stage: str) -> None:
    """The stage has no plan any more."""
    with runtime().db.begin() as conn:
        plans.drop(conn, _stage(stage), by=actor().id, reason=body["reason"], now=clock.now())


@blueprint.route("/stats/plans")
@admins_only
@blueprint.arguments(FormatArgs, location="query")
@blueprint.response(200, listed(PlanFiguresSchema), description=CSV_NOTE)
def show_plans(query: dict[str, Any]) -> dict[str, Any] | Response:
    """Every plan against what was done."""
    with runtime().db.read() as conn:
        items, waiting = plans.against_done(conn, clock.now().date()), telling.waiting(conn)
    if wants_csv(query):
        return as_csv(PlanFiguresSchema, items, "plans")
    return {"items": items, "waiting": waiting}


def _stage(name: str) -> Stage:
    if name not in set(Stage):
        raise NotFound("no_such_stage", "There is no such stage.")
    return Stage(name)
