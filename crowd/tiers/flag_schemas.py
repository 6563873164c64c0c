"""What goes over the wire about flags."""

from marshmallow import fields

from crowd.core.http import Moment, PageArgs, Schema
from crowd.policy import Stage
from crowd.tiers.flag_models import FlagCode, FlagState, FlagStep


class FlagPageArgs(PageArgs):
    """The query of the list of flags."""

    state = fields.Enum(FlagState, by_value=True, load_default=None)
    worker = fields.Integer(load_default=None, metadata={"description": "The id of a person."})


class FlagSchema(Schema):
    """A flag about a person; `evidence` holds the numbers behind it, by code."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    stage = fields.Enum(Stage, by_value=True, allow_none=True)
    code = fields.Enum(FlagCode, by_value=True)
    evidence = fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True))
    opened_at = Moment()
    state = fields.Enum(FlagState, by_value=True)
    decided_at = Moment(allow_none=True)
    by = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)


class FlagStepSchema(Schema):
    """One step of a flag; `by` is null for a detector and the command line."""

    at = Moment()
    what = fields.Enum(FlagStep, by_value=True)
    by = fields.String(allow_none=True)
    reason = fields.String()


class WholeFlagSchema(FlagSchema):
    """A flag with all that happened to it."""

    steps = fields.List(fields.Nested(FlagStepSchema))
