"""Assignments over HTTP, for admins."""

from typing import Any

from marshmallow import fields, validate

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.errors import NotFound
from crowd.core.http import Blueprint, Moment, Page, PageArgs, Schema, page, paged, remark, said
from crowd.policy import Grade, Stage
from crowd.runtime import runtime
from crowd.tasks import assignment_queries as queries
from crowd.tasks import assignments
from crowd.tasks.assignments import MOST_TASKS, Order, roster_of

blueprint = Blueprint("assignments", __name__, description="Work kept for a person or a group.")

admins_only = requires_grade(Grade.ADMIN)


class NewAssignmentSchema(Schema):
    """What is assigned: new tasks of a stage, of a batch if given, as many as `count` if given."""

    stage = fields.Enum(Stage, by_value=True, required=True)
    worker = fields.Integer(load_default=None, allow_none=True, metadata={"description": "This, or group."})
    group = fields.Integer(load_default=None, allow_none=True)
    batch = fields.Integer(load_default=None, allow_none=True)
    count = fields.Integer(
        load_default=None, allow_none=True, strict=True, validate=validate.Range(1, MOST_TASKS)
    )
    deadline = Moment(required=True, metadata={"description": "What is left then is everybody's again."})
    reason = remark(1000)


class EndAssignmentSchema(Schema):
    """Why it ends before its deadline."""

    reason = said(1000)


class AssignmentSchema(Schema):
    """An assignment and how far it has come; `taken`: tasks that were ever kept for it."""

    id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    worker_id = fields.Integer(allow_none=True)
    username = fields.String(allow_none=True)
    group_id = fields.Integer(allow_none=True)
    group = fields.String(attribute="group_name", data_key="group", allow_none=True)
    batch_id = fields.Integer(allow_none=True)
    batch = fields.String(attribute="batch_name", data_key="batch", allow_none=True)
    count = fields.Integer(allow_none=True)
    deadline = Moment()
    made_at = Moment()
    made_by = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    ended_at = Moment(allow_none=True)
    end_reason = fields.String(allow_none=True)
    taken = fields.Integer()
    waiting = fields.Integer()
    leased = fields.Integer()
    done = fields.Integer()
    closed = fields.Integer(metadata={"description": "the image moved on, or stuck"})
    returned = fields.Integer()


class AssignmentArgs(PageArgs):
    """Which assignments to list."""

    running = fields.Boolean(load_default=False)


@blueprint.route("/assignments", methods=["POST"])
@admins_only
@blueprint.arguments(NewAssignmentSchema)
@blueprint.response(201, AssignmentSchema)
def assign(body: dict[str, Any]) -> dict[str, Any]:
    """Keep work for a person or a group until a deadline."""
    rt = runtime()
    names = {"worker": "worker_id", "group": "group_id", "batch": "batch_id"}
    order = Order(**{names.get(name, name): value for name, value in body.items()})
    with rt.db.begin() as conn:
        assignment_id = assignments.assign(conn, order, rt.policy, clock.now(), by=actor().id)
    roster_of(rt.db).forget()
    rt.queue.nudge("upkeep")
    return _shown(assignment_id)


@blueprint.route("/assignments")
@admins_only
@blueprint.arguments(AssignmentArgs, location="query")
@blueprint.response(200, paged(AssignmentSchema))
def list_assignments(query: dict[str, Any]) -> Page:
    """Every assignment, or those that run, oldest first, and how far they have come."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = queries.listed(conn, after=query["cursor"], limit=limit + 1, runs=query["running"])
        return page(assignments.shown(conn, rows), limit, lambda row: row["id"])


@blueprint.route("/assignments/<int:assignment_id>")
@admins_only
@blueprint.response(200, AssignmentSchema)
def show_assignment(assignment_id: int) -> dict[str, Any]:
    """One assignment, and how far it has come."""
    return _shown(assignment_id)


@blueprint.route("/assignments/<int:assignment_id>/end", methods=["POST"])
@admins_only
@blueprint.arguments(EndAssignmentSchema)
@blueprint.response(200, AssignmentSchema)
def end(body: dict[str, Any], assignment_id: int) -> dict[str, Any]:
    """What is left of it is everybody's again."""
    rt = runtime()
    with rt.db.begin() as conn:
        assignments.end(conn, assignment_id, clock.now(), by=actor().id, reason=body["reason"])
    roster_of(rt.db).forget()
    rt.queue.nudge("upkeep")
    return _shown(assignment_id)


def _shown(assignment_id: int) -> dict[str, Any]:
    with runtime().db.read() as conn:
        rows = queries.listed(conn, after=None, limit=1, only=assignment_id)
        if not rows:
            raise NotFound("no_such_assignment", f"There is no assignment {assignment_id}.")
        return assignments.shown(conn, rows)[0]
