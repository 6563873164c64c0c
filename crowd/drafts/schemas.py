"""What drafts look like over HTTP."""

from marshmallow import fields

from crowd.core.http import Moment, Schema
from crowd.tasks.schemas import LeaseTokenSchema, TaskSchema


class SaveDraftSchema(LeaseTokenSchema):
    """How far one got."""

    body = fields.Dict(required=True, metadata={"description": "The client's own; handed back as it was."})


class DraftSchema(Schema):
    """What was saved, and when."""

    body = fields.Dict()
    saved_at = Moment()


class HeldTaskSchema(TaskSchema):
    """A task that the caller holds, as it was claimed, with their draft of it."""

    draft = fields.Nested(DraftSchema, allow_none=True)
