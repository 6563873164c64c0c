"""Refreshers over HTTP, for admins; whoever is offered one finds it at GET /me."""

from typing import Any

from crowd.accounts.auth import requires_grade
from crowd.core.http import Blueprint, Page, page, paged
from crowd.gold.refreshers import queries
from crowd.gold.refreshers.schemas import RefresherPageArgs, RefresherSchema
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("refreshers", __name__, description="Practice offered to whoever drifts.")


@blueprint.route("/refreshers")
@requires_grade(Grade.ADMIN)
@blueprint.arguments(RefresherPageArgs, location="query")
@blueprint.response(200, paged(RefresherSchema))
def list_refreshers(query: dict[str, Any]) -> Page:
    """Refreshers, newest first; of one person."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.refreshers(conn, worker_id=query["worker"], before=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.id)
