"""Talk about a task, over HTTP."""

from typing import Any

from crowd.accounts.auth import actor, requires_active
from crowd.core import clock
from crowd.core.http import Blueprint
from crowd.review import talk
from crowd.review.schemas import CommentSchema, NewCommentSchema
from crowd.runtime import runtime

blueprint = Blueprint("review", __name__, description="Talk between labellers and reviewers.")


@blueprint.route("/tasks/<int:task_id>/comments", methods=["POST"])
@requires_active
@blueprint.arguments(NewCommentSchema)
@blueprint.response(201, CommentSchema)
def say(body: dict[str, Any], task_id: int) -> dict[str, Any]:
    """Say something about a task."""
    with runtime().db.begin() as conn:
        return talk.say(conn, actor(), task_id, body["text"], clock.now())


@blueprint.route("/tasks/<int:task_id>/comments")
@requires_active
@blueprint.response(200, CommentSchema(many=True))
def listen(task_id: int) -> list[dict[str, Any]]:
    """What was said about a task, oldest first."""
    with runtime().db.read() as conn:
        return talk.listen(conn, actor(), task_id)
