"""Images as people see them, progress, and an admin's ways out, over HTTP."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flask import Response
from sqlalchemy.engine import Connection

from crowd.accounts.auth import (
    Actor,
    account,
    account_of,
    actor,
    requires_account,
    requires_grade,
    requires_login,
)
from crowd.accounts.models import AccountKind
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden, NotFound
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.images import contracts
from crowd.images import queries as images
from crowd.images.sending import send_picture
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tasks import answer_queries, decisions, handover, image_queries, progress, viewing
from crowd.tasks.decisions import Decision
from crowd.tasks.models import OPEN_SHADOWS, Standing
from crowd.tasks.schemas import (
    DecideSchema,
    ImageSchema,
    OwnAnswerSchema,
    OwnFeedbackSchema,
    ProgressSchema,
    TroubleArgs,
    TroubleSchema,
)

blueprint = Blueprint("work", __name__, description="Images in work, progress, and an admin's ways out.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/images/<int:image_id>")
@requires_login
@blueprint.response(200, ImageSchema)
def show_image(image_id: int) -> dict[str, Any]:
    """An image with its labels and history: for admins all, for others their own part in it."""
    with runtime().db.read() as conn:
        return viewing.image_view(conn, image_id, _viewer(conn, image_id), clock.now())


@blueprint.route("/images/<int:image_id>/file")
@requires_account
@blueprint.response(200, content_type="image/jpeg")
def working_image(image_id: int) -> Response:
    """The working image, as people draw on it and as it is delivered."""
    return _jpeg(image_id, thumbnail=False)


@blueprint.route("/images/<int:image_id>/thumbnail")
@requires_account
@blueprint.response(200, content_type="image/jpeg")
def thumbnail(image_id: int) -> Response:
    """A small version of the working image."""
    return _jpeg(image_id, thumbnail=True)


@blueprint.route("/images/<int:image_id>/decide", methods=["POST"])
@admins_only
@blueprint.arguments(DecideSchema)
@blueprint.response(200, ImageSchema)
def decide(body: dict[str, Any], image_id: int) -> dict[str, Any]:
    """Settle an image that is held, stuck, blocked or accepted."""
    rt = runtime()
    decision = Decision(body["state"], body["stage"], body["reason"], body["contract_id"])
    with rt.db.begin() as conn:
        decisions.decide(conn, actor().id, image_id, decision, rt.policy, clock.now())
        return viewing.image_view(conn, image_id, None, clock.now())


@blueprint.route("/stats/progress")
@admins_only
@blueprint.response(200, ProgressSchema)
def show_progress() -> dict[str, Any]:
    """How the work stands, by stage."""
    rt = runtime()
    with rt.db.read() as conn:
        figures = progress.progress(conn, rt.policy, clock.now())
        states = progress.images_by_state(conn)
    return {"stages": {stage.value: asdict(each) for stage, each in figures.items()}, "images": states}


@blueprint.route("/stats/attention")
@admins_only
@blueprint.arguments(TroubleArgs, location="query")
@blueprint.response(200, paged(TroubleSchema))
def show_attention(query: dict[str, Any]) -> Page:
    """What is held, stuck or blocked, and for which grade."""
    rt = runtime()
    limit = query["limit"]
    with rt.db.read() as conn:
        found = progress.troubles(conn, query["kind"], rt.policy, query["cursor"], limit + 1)
    return page(found, limit, progress.trouble_key)


@blueprint.route("/me/feedback")
@requires_login
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(OwnFeedbackSchema))
def own_feedback(query: dict[str, Any]) -> Page:
    """Why the caller's answers came back, newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = image_queries.feedback_about(conn, actor().id, query["cursor"], limit + 1)
    shown: Page = page(rows, limit, lambda row: row.id)
    shown["items"] = _pieces(shown["items"])
    return shown


@blueprint.route("/me/answers")
@requires_login
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(OwnAnswerSchema))
def own_answers(query: dict[str, Any]) -> Page:
    """What the caller answered, newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = answer_queries.answers_of(conn, actor().id, query["cursor"], limit + 1)
    shown: Page = page(rows, limit, lambda row: row.id)
    shown["items"] = [_own_answer(row) for row in shown["items"]]
    return shown


def _own_answer(row: AnyRow) -> dict[str, Any]:
    """An answer on hidden gold is told like any other."""
    too_late = row.standing in (Standing.LEASE_LOST, Standing.SUPERSEDED)
    purpose = row.purpose if row.purpose in OPEN_SHADOWS else None
    return {**row._mapping, "counted": not too_late, "purpose": purpose}


def _pieces(rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    return [
        {**piece, "at": row.at, "image_id": row.image_id, "target": row.target}
        for row in rows
        for piece in handover.typed_pieces(row)
    ]


def _viewer(conn: Connection, image_id: int) -> int | None:
    """None for somebody who may see everything, else the worker whose part is shown.

    An admin who holds or held a task of the image sees no more than its other workers.
    Raises Forbidden for a worker who never had a task of the image.
    """
    me: Actor = actor()
    took_part = answer_queries.has_part(conn, image_id, me.id)
    if me.sees_all and not took_part:
        return None
    if not took_part:
        if images.image_file(conn, image_id) is None:
            raise NotFound("no_such_image", f"There is no image {image_id}.")
        raise Forbidden("not_your_image", "You have had no task of this image.")
    return me.id


def _jpeg(image_id: int, *, thumbnail: bool) -> Response:
    rt = runtime()
    with rt.db.read() as conn:
        image = images.image_file(conn, image_id)
        # Who may not see an image is told so before they learn whether it has a picture.
        _require_view(conn, image_id)
        if image is None or image.width is None:
            raise NotFound("no_such_image", f"There is no working image {image_id}.")
        contracts.require_shown(conn, image_id, clock.now().date())
    return send_picture(rt, image, thumbnail=thumbnail)


def _require_view(conn: Connection, image_id: int) -> None:
    """Raises Forbidden unless the caller may see the image: refiners see every one."""
    if account().kind is AccountKind.REFINER:
        account_of(AccountKind.REFINER)
        return
    _viewer(conn, image_id)
