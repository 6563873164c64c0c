"""Groups over HTTP, for admins."""

from typing import Any

from marshmallow import fields, validate

from crowd.accounts import group_queries as queries
from crowd.accounts import groups
from crowd.accounts.auth import actor, requires_grade
from crowd.accounts.models import GroupKind
from crowd.core.http import Blueprint, Moment, Page, PageArgs, Schema, page, paged, remark
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("groups", __name__, description="Institutions and groups that people belong to.")

admins_only = requires_grade(Grade.ADMIN)


class NewGroupSchema(Schema):
    """A group to be."""

    kind = fields.Enum(GroupKind, by_value=True, required=True)
    name = fields.String(required=True, validate=validate.Length(1, 2 * groups.LONGEST_NAME))


class GroupSchema(Schema):
    """A group; `members`: how many belong to it now."""

    id = fields.Integer()
    kind = fields.Enum(GroupKind, by_value=True)
    name = fields.String()
    created_at = Moment()
    members = fields.Integer()


class NewMembersSchema(Schema):
    """Who belongs to the group from now on."""

    workers = fields.List(
        fields.Integer(strict=True),
        required=True,
        validate=validate.Length(1, groups.MOST_MEMBERS),
        metadata={"description": "Ids. Whoever is in another group leaves that one."},
    )
    reason = remark(1000)


class MovedSchema(Schema):
    """How many moved; those who belonged there already did not."""

    moved = fields.Integer()


class LeaveSchema(Schema):
    """Why somebody leaves."""

    reason = remark(1000)


class MembershipSchema(Schema):
    """Somebody's time in a group; `to`: null while it lasts, `by`: null for the command line."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    from_ = Moment(attribute="from_at", data_key="from")
    to = Moment(attribute="to_at", allow_none=True)
    by = fields.String(allow_none=True)
    reason = fields.String()


@blueprint.route("/groups", methods=["POST"])
@admins_only
@blueprint.arguments(NewGroupSchema)
@blueprint.response(201, GroupSchema)
def found_group(body: dict[str, Any]) -> dict[str, Any]:
    """A new group, without members."""
    with runtime().db.begin() as conn:
        group = groups.found(conn, body["kind"], body["name"], by=actor().id)
    return {**group._mapping, "members": 0}


@blueprint.route("/groups")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(GroupSchema))
def list_groups(query: dict[str, Any]) -> Page:
    """Every group, oldest first."""
    with runtime().db.read() as conn:
        rows = queries.groups(conn, after=query["cursor"], limit=query["limit"] + 1)
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/groups/<int:group_id>/members", methods=["POST"])
@admins_only
@blueprint.arguments(NewMembersSchema)
@blueprint.response(200, MovedSchema)
def add_members(body: dict[str, Any], group_id: int) -> dict[str, int]:
    """From now on these people belong to the group; all of them or, if one does not exist, none."""
    with runtime().db.begin() as conn:
        moved = groups.join(conn, group_id, body["workers"], by=actor().id, reason=body["reason"])
    return {"moved": moved}


@blueprint.route("/groups/<int:group_id>/members")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(MembershipSchema))
def list_members(query: dict[str, Any], group_id: int) -> Page:
    """Everybody's times in the group, past ones too."""
    with runtime().db.read() as conn:
        groups.find(conn, group_id)
        rows = queries.history(conn, group_id, after=query["cursor"], limit=query["limit"] + 1)
    return page(rows, query["limit"], lambda row: row.id)


@blueprint.route("/groups/<int:group_id>/members/<int:worker_id>/leave", methods=["POST"])
@admins_only
@blueprint.arguments(LeaveSchema)
@blueprint.response(204)
def leave(body: dict[str, Any], group_id: int, worker_id: int) -> None:
    """The person belongs to the group no longer."""
    with runtime().db.begin() as conn:
        groups.leave(conn, group_id, worker_id, by=actor().id, reason=body["reason"])
