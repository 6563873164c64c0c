"""Batches over HTTP: by what name images came in together; for admins."""

from typing import Any

from marshmallow import fields

from crowd.accounts.auth import requires_grade
from crowd.core.http import Blueprint, Moment, Page, PageArgs, Schema, page, paged
from crowd.images import queries
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("batches", __name__, description="Images that came in together.")


class BatchSchema(Schema):
    """A batch of images; of two priorities the lower one's tasks come first."""

    id = fields.Integer()
    name = fields.String()
    priority = fields.Integer()
    created_at = Moment()


@blueprint.route("/batches")
@requires_grade(Grade.ADMIN)
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(BatchSchema))
def list_batches(query: dict[str, Any]) -> Page:
    """Every batch, the newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.batches(conn, before=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row.id)
