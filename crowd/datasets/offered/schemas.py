"""What goes over the wire about models that are asked for."""

from marshmallow import fields

from crowd.core.http import Moment, Schema
from crowd.datasets.models import Verdict
from crowd.policy import Stage


class OfferedModelSchema(Schema):
    """A model as everybody may know of it; `access` is how the caller's newest request stands."""

    id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    name = fields.String()
    version = fields.Integer()
    metrics = fields.Dict(keys=fields.String(), metadata={"description": "How well it did, on which set."})
    created_at = Moment()
    access = fields.String(
        allow_none=True, metadata={"description": "asked, approved, denied, revoked; null: never asked."}
    )


class ModelRequestSchema(Schema):
    """A person asks for a model; `verdict` is null until somebody has decided."""

    id = fields.Integer()
    model_id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    purpose = fields.String()
    at = Moment()
    verdict = fields.Enum(Verdict, by_value=True, allow_none=True)
    reason = fields.String(allow_none=True)
    decided_at = Moment(allow_none=True)


class ModelFetchSchema(Schema):
    """Somebody fetched a model; `request_id` is what allowed it, null for admins."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    request_id = fields.Integer(allow_none=True)
    at = Moment()
