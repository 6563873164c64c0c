"""Drafts, and tasks taken up again on another machine, over HTTP."""

from typing import Any

from flask import Response, jsonify

from crowd.accounts.auth import actor, requires_active
from crowd.core import clock
from crowd.core.http import Blueprint
from crowd.drafts import queries, service
from crowd.drafts.schemas import HeldTaskSchema, SaveDraftSchema
from crowd.runtime import runtime

blueprint = Blueprint("drafts", __name__, description="Work that is not finished.")


@blueprint.route("/tasks/<int:task_id>")
@requires_active
@blueprint.response(200, HeldTaskSchema)
def show(task_id: int) -> Response:
    """A task that the caller holds, once more, with their draft of it."""
    with runtime().db.begin() as conn:
        shown, headers = service.held_task(conn, actor().id, task_id)
    answer = jsonify(shown)
    answer.headers.update(headers)
    return answer


@blueprint.route("/tasks/<int:task_id>/draft", methods=["PUT"])
@requires_active
@blueprint.arguments(SaveDraftSchema)
@blueprint.response(204)
def save(body: dict[str, Any], task_id: int) -> Response:
    """Keep how far the caller got with a task; the last one stands. Kept for 14 days."""
    with runtime().db.begin() as conn:
        service.save(conn, actor().id, task_id, body["token"], body["body"], clock.now())
    return Response(status=204)


@blueprint.route("/tasks/<int:task_id>/draft", methods=["DELETE"])
@requires_active
@blueprint.response(204)
def drop(task_id: int) -> Response:
    """No draft any more; repeated too."""
    with runtime().db.begin() as conn:
        queries.drop(conn, actor().id, task_id)
    return Response(status=204)
