"""What goes over the wire about appeals."""

from marshmallow import fields

from crowd.core.http import Moment, PageArgs, Schema
from crowd.policy import Stage
from crowd.review.appeals.states import AppealState
from crowd.tiers.schemas import reason_field


class NewAppealSchema(Schema):
    """Which answer of one's own was wrongly judged, and why."""

    task_id = fields.Integer(
        required=True, strict=True, metadata={"description": "The task that one answered."}
    )
    reason = reason_field()


class OwnAppealSchema(Schema):
    """An appeal of one's own; who judges it is not told."""

    id = fields.Integer()
    task_id = fields.Integer()
    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    reason = fields.String()
    at = Moment()
    state = fields.Enum(AppealState, by_value=True)
    decided_at = Moment(allow_none=True)


class PossibleAppealSchema(Schema):
    """An answer of one's own that something counts against, and that there is no appeal about yet."""

    task_id = fields.Integer()
    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    at = Moment(metadata={"description": "Since when it counts."})


class AppealPageArgs(PageArgs):
    """The query of the list of appeals."""

    state = fields.Enum(AppealState, by_value=True, load_default=None)
    worker = fields.Integer(load_default=None, metadata={"description": "The id of a person."})


class AppealSchema(OwnAppealSchema):
    """An appeal as admins see it."""

    worker_id = fields.Integer()
    username = fields.String()
    judge = fields.String(allow_none=True, metadata={"description": "Who sits, or sat, in its seat."})
    seat_id = fields.Integer(allow_none=True, metadata={"description": "The task that decided it."})
    by = fields.String(allow_none=True, metadata={"description": "Who decided it."})
    why = fields.String(allow_none=True, metadata={"description": "An admin's reason."})
    withdrawn = fields.List(
        fields.Integer(), allow_none=True, metadata={"description": "Evidence that counts no more."}
    )
    blocked = fields.Boolean(metadata={"description": "Open, and nobody may judge it: an admin's to decide."})


class DecideAppealSchema(Schema):
    """An admin's decision about an appeal that nobody else may judge."""

    upheld = fields.Boolean(required=True, truthy={True}, falsy={False})
    reason = reason_field()
