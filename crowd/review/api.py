"""Talk about a task, over HTTP."""

from typing import Any

from crowd.accounts.auth import actor, requires_active
from crowd.core import clock
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
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
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(CommentSchema))
def listen(query: dict[str, Any], task_id: int) -> Page:
    """What was said about a task, oldest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        heard = talk.listen(conn, actor(), task_id, after=query["cursor"] or 0, limit=limit + 1)
    return page(heard, limit, lambda comment: comment["id"])
