"""What goes over the wire about models that are asked for."""

from marshmallow import fields

from crowd.core.http import Moment, Schema
from crowd.datasets.schemas import AskedSchema, UsedSchema
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


class ModelRequestSchema(AskedSchema):
    """A person asks for a model; `verdict` is null until somebody has decided."""

    model_id = fields.Integer()


class ModelFetchSchema(UsedSchema):
    """Somebody fetched a model; `request_id` is what allowed it, null for admins."""
