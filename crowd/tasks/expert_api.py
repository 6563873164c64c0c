"""What is known of each expert, over HTTP, for admins."""

from typing import Any

from marshmallow import fields

from crowd.accounts.auth import requires_grade
from crowd.core.http import Blueprint, Moment, Page, PageArgs, Schema, page, paged
from crowd.policy import Grade
from crowd.runtime import runtime
from crowd.tasks import experts

blueprint = Blueprint("experts", __name__, description="Time and aim of those who tell styles.")


class ExpertSchema(Schema):
    """An expert's style answers added up.

    `accuracy`: how many of the `judged` named the main style on which several settled. `score`: the mean of
    what all evidence about their styles says, of `score_n` judged answers. `seconds`: the mean an answer.
    """

    worker_id = fields.Integer()
    username = fields.String()
    answers = fields.Integer()
    unsure = fields.Integer()
    seconds = fields.Float(allow_none=True)
    judged = fields.Integer()
    agreed = fields.Integer()
    accuracy = fields.Float(allow_none=True)
    score = fields.Float()
    score_n = fields.Integer()
    last_at = Moment()


@blueprint.route("/stats/experts")
@requires_grade(Grade.ADMIN)
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ExpertSchema))
def list_experts(query: dict[str, Any]) -> Page:
    """Each expert's time and aim, in the order of their ids; what came in the last minutes may be missing."""
    rt = runtime()
    limit = query["limit"]
    with rt.db.read() as conn:
        rows = experts.figures(conn, rt.policy, after=query["cursor"], limit=limit + 1)
    return page(rows, limit, lambda row: row["worker_id"])
