"""Appeals over HTTP: people make them, admins see what came of them."""

from typing import Any

from crowd.accounts.auth import actor, requires_grade, requires_login
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.policy import Grade
from crowd.review.appeals import queries, service
from crowd.review.appeals.schemas import (
    AppealPageArgs,
    AppealSchema,
    DecideAppealSchema,
    NewAppealSchema,
    OwnAppealSchema,
    PossibleAppealSchema,
)
from crowd.runtime import runtime

blueprint = Blueprint("appeals", __name__, description="Answers that their authors find wrongly judged.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/me/appeals", methods=["POST"])
@requires_login
@blueprint.arguments(NewAppealSchema)
@blueprint.response(201, OwnAppealSchema)
def appeal(body: dict[str, Any]) -> AnyRow:
    """Ask that an answer of one's own be judged again, by somebody who had no part in its image."""
    rt = runtime()
    with rt.db.begin() as conn:
        return service.appeal(conn, actor().id, body["task_id"], body["reason"], rt.policy, clock.now())


@blueprint.route("/me/appeals")
@requires_login
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(OwnAppealSchema))
def own_appeals(query: dict[str, Any]) -> Page:
    """The caller's appeals, newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.of_person(conn, actor().id, before=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/me/appeals/possible")
@requires_login
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(PossibleAppealSchema))
def possible_appeals(query: dict[str, Any]) -> Page:
    """The caller's answers that something counts against and that can still be appealed, newest first."""
    rt, limit = runtime(), query["limit"]
    with rt.db.read() as conn:
        rows = service.possible(
            conn, actor().id, rt.policy, clock.now(), before=query["cursor"], limit=limit + 1
        )
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/appeals")
@admins_only
@blueprint.arguments(AppealPageArgs, location="query")
@blueprint.response(200, paged(AppealSchema))
def list_appeals(query: dict[str, Any]) -> Page:
    """Appeals, oldest first; of one state, or of one person."""
    rt, limit = runtime(), query["limit"]
    with rt.db.read() as conn:
        rows = queries.appeals(
            conn, state=query["state"], worker_id=query["worker"], after=query["cursor"], limit=limit + 1
        )
        shown = page(rows, limit, lambda row: row.id)
        shown["items"] = service.view(conn, shown["items"], rt.policy)
    return shown


@blueprint.route("/appeals/<int:appeal_id>")
@admins_only
@blueprint.response(200, AppealSchema)
def show_appeal(appeal_id: int) -> dict[str, Any]:
    """One appeal."""
    rt = runtime()
    with rt.db.read() as conn:
        return service.show(conn, appeal_id, rt.policy)


@blueprint.route("/appeals/<int:appeal_id>/decide", methods=["POST"])
@admins_only
@blueprint.arguments(DecideAppealSchema)
@blueprint.response(200, AppealSchema)
def decide_appeal(body: dict[str, Any], appeal_id: int) -> dict[str, Any]:
    """Decide an appeal that nobody may judge blind."""
    rt = runtime()
    with rt.db.begin() as conn:
        return service.settle(
            conn,
            appeal_id,
            admin_id=actor().id,
            upheld=body["upheld"],
            reason=body["reason"],
            policy=rt.policy,
            now=clock.now(),
        )
