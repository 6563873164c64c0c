"""The images behind a figure over HTTP, for admins."""

from typing import Any

from crowd.core.http import Blueprint, Page, cursor_of, paged
from crowd.runtime import runtime
from crowd.steering.api import admins_only
from crowd.steering.behind import queries
from crowd.steering.behind.queries import STANDING, Behind, Sought
from crowd.steering.behind.schemas import BehindArgs, BehindSchema

blueprint = Blueprint("behind", __name__, description="The images behind a figure.")


@blueprint.route("/stats/images")
@admins_only
@blueprint.arguments(BehindArgs, location="query")
@blueprint.response(200, paged(BehindSchema))
def list_behind(query: dict[str, Any]) -> Page:
    """The images behind a figure: tasks by age, all else newest first; pages may be short or empty."""
    cursor, limit = query.pop("cursor"), query.pop("limit")
    sought = Sought(**query)
    with runtime().db.read() as conn:
        if sought.figure is Behind.READY and sought.stage is not None:
            found = queries.waiting(conn, sought.stage, cursor, limit)
        elif sought.figure in STANDING:
            found = queries.held_up(conn, sought, cursor, limit)
        else:
            found = queries.history(conn, sought, cursor, limit)
    return {
        "items": list(found.rows),
        "next_cursor": None if found.cursor is None else cursor_of(found.cursor),
    }
