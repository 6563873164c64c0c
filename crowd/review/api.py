"""Talk about a task, over HTTP."""

from typing import Any

from crowd.accounts.auth import actor, requires_active
from crowd.core import clock
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.review import talk
from crowd.review.schemas import (
    CommentSchema,
    ImageCommentSchema,
    NewCommentSchema,
    NewImageCommentSchema,
    OwnThreadSchema,
    ThreadArgs,
)
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


@blueprint.route("/images/<int:image_id>/comments", methods=["POST"])
@requires_active
@blueprint.arguments(NewImageCommentSchema)
@blueprint.response(201, ImageCommentSchema)
def say_about(body: dict[str, Any], image_id: int) -> dict[str, Any]:
    """Say something about the work of a stage: to whoever held its task, its reviewers, and admins."""
    with runtime().db.begin() as conn:
        return talk.say_about(conn, actor(), image_id, body["stage"], body["text"], clock.now())


@blueprint.route("/images/<int:image_id>/comments")
@requires_active
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ImageCommentSchema))
def listen_about(query: dict[str, Any], image_id: int) -> Page:
    """What was said on the tasks of an image that one held; its reviewers and admins hear of all."""
    limit, after = query["limit"], max(0, query["cursor"] or 0)
    with runtime().db.read() as conn:
        heard = talk.listen_about(conn, actor(), image_id, after=after, limit=limit + 1)
    return page(heard, limit, lambda comment: comment["place"])


@blueprint.route("/me/comments")
@requires_active
@blueprint.arguments(ThreadArgs, location="query")
@blueprint.response(200, paged(OwnThreadSchema))
def own_threads(query: dict[str, Any]) -> Page:
    """What others said about tasks that the caller held, newest task first.

    A page looks through some hundreds of the caller's tasks: it may be empty though others follow.
    """
    with runtime().db.read() as conn:
        return talk.own_threads(conn, actor(), query["cursor"])
