"""Redos over HTTP, for admins."""

from typing import Any

from flask import url_for

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.http import Blueprint, Page, page, paged
from crowd.policy import Grade, Stage
from crowd.review import redo
from crowd.review import redo_queries as queries
from crowd.review.redo import Wanted
from crowd.review.redo_schemas import (
    NewRedoSchema,
    OrderedRedoSchema,
    RedoPageArgs,
    RedoSchema,
    WholeRedoSchema,
)
from crowd.runtime import runtime

blueprint = Blueprint("redos", __name__, description="A bad worker's answers, done again by others.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/workers/<int:worker_id>/redo", methods=["POST"])
@admins_only
@blueprint.arguments(NewRedoSchema)
@blueprint.response(200, OrderedRedoSchema)
@blueprint.alt_response(202, schema=OrderedRedoSchema)
def order_redo(body: dict[str, Any], worker_id: int) -> Any:
    """Have a person's answers since a moment done again, or tell how much that would be."""
    rt = runtime()
    stages = tuple(dict.fromkeys(body["stages"] or Stage))
    wanted = Wanted(worker_id, body["since"], stages, body["reason"])
    if body["preview"]:
        with rt.db.read() as conn:
            return {"preview": redo.preview(conn, wanted, by=actor()), "job": None}
    with rt.db.begin() as conn:
        redo_id = redo.order(conn, wanted, by=actor(), now=clock.now())
    rt.queue.nudge("redos")
    job = {"id": redo_id, "url": url_for("redos.show_redo", redo_id=redo_id)}
    return {"preview": None, "job": job}, 202


@blueprint.route("/redos")
@admins_only
@blueprint.arguments(RedoPageArgs, location="query")
@blueprint.response(200, paged(RedoSchema))
def list_redos(query: dict[str, Any]) -> Page:
    """Redos, oldest first; of one person."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.redos(conn, worker_id=query["worker"], after=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/redos/<int:redo_id>")
@admins_only
@blueprint.response(200, WholeRedoSchema)
def show_redo(redo_id: int) -> dict[str, Any]:
    """How far a redo is, and what became of its images."""
    with runtime().db.read() as conn:
        return redo.find_redo(conn, redo_id)
