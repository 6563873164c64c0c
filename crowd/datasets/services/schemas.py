"""What goes over the wire about services."""

from marshmallow import fields

from crowd.core.http import Schema
from crowd.datasets.schemas import AskedSchema, UsedSchema
from crowd.policy import Stage


class OfferedServiceSchema(Schema):
    """A stage whose model tells what it sees; `access` is how the caller's newest request stands."""

    stage = fields.Enum(Stage, by_value=True)
    model = fields.String(metadata={"description": "NAME@VERSION of the one that serves."})
    access = fields.String(
        allow_none=True, metadata={"description": "asked, approved, denied, revoked; null: never asked."}
    )


class OfferedServicesSchema(Schema):
    """Every service there is; at most one a stage."""

    items = fields.List(fields.Nested(OfferedServiceSchema))


class ServiceRequestSchema(AskedSchema):
    """A person asks for a service; `verdict` is null until somebody has decided."""

    stage = fields.Enum(Stage, by_value=True)


class SaidSchema(Schema):
    """What a model says of an image: the candidates that people who labelled it were shown."""

    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    model = fields.String(metadata={"description": "NAME@VERSION."})
    candidates = fields.Dict(metadata={"description": "As beside a task of the stage."})


class ServiceUseSchema(UsedSchema):
    """Somebody used a service; `request_id` is what allowed it, null for admins."""

    image_id = fields.Integer()
    model_id = fields.Integer()
