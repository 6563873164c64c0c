"""What goes over the wire about services."""

from marshmallow import fields

from crowd.core.http import Moment, Schema
from crowd.datasets.models import Verdict
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


class ServiceRequestSchema(Schema):
    """A person asks for a service; `verdict` is null until somebody has decided."""

    id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    worker_id = fields.Integer()
    username = fields.String()
    purpose = fields.String()
    at = Moment()
    verdict = fields.Enum(Verdict, by_value=True, allow_none=True)
    reason = fields.String(allow_none=True)
    decided_at = Moment(allow_none=True)


class SaidSchema(Schema):
    """What a model says of an image: the candidates that people who labelled it were shown."""

    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    model = fields.String(metadata={"description": "NAME@VERSION."})
    candidates = fields.Dict(metadata={"description": "As beside a task of the stage."})


class ServiceUseSchema(Schema):
    """Somebody used a service; `request_id` is what allowed it, null for admins."""

    id = fields.Integer()
    image_id = fields.Integer()
    model_id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    request_id = fields.Integer(allow_none=True)
    at = Moment()
