"""What goes over the wire about example pictures."""

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema, said
from crowd.examples.models import Step
from crowd.policy import Stage
from crowd.tiers.schemas import reason_field

LONGEST_CAPTION = 300
_FACET = {"description": "`styles`, or an attribute's key."}


class ExampleArgs(PageArgs):
    """The examples of which stage: of styles, or of attributes' values."""

    stage = fields.Enum(
        Stage,
        by_value=True,
        load_default=None,
        validate=validate.OneOf([Stage.ATTRIBUTES, Stage.STYLES]),
    )


class ChosenArgs(PageArgs):
    """The examples of which value."""

    facet = fields.String(load_default=None, metadata=_FACET)
    value = fields.String(load_default=None)


class ExampleSchema(Schema):
    """A picture that shows a value, as it is told to whoever works: not which image it is."""

    id = fields.Integer(required=True)
    facet = fields.String(required=True, metadata=_FACET)
    value = fields.String(required=True)
    caption_en = fields.String(required=True)
    caption_ko = fields.String(required=True)
    width = fields.Integer(required=True)
    height = fields.Integer(required=True)
    url = fields.String(required=True)
    thumbnail = fields.String(required=True)


class ChosenSchema(ExampleSchema):
    """An example as admins see it; `hidden` says why nobody else sees it."""

    image_id = fields.Integer(required=True)
    at = Moment(required=True)
    by = fields.String(required=True)
    hidden = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["removed", "not_accepted", "rights_ended", "gold"]),
    )


class ExampleEventSchema(Schema):
    """What was done with an example."""

    at = Moment(required=True)
    step = fields.Enum(Step, by_value=True, required=True)
    by = fields.String(required=True)
    reason = fields.String(required=True)


class WholeExampleSchema(ChosenSchema):
    """An example with all that was done with it."""

    events = fields.List(fields.Nested(ExampleEventSchema), required=True)


class NewExampleSchema(Schema):
    """An accepted image as an example of one of its labels."""

    facet = fields.String(required=True, validate=validate.Length(1, 80), metadata=_FACET)
    value = fields.String(required=True, validate=validate.Length(1, 120))
    image_id = fields.Integer(required=True, strict=True)
    caption_en = said(LONGEST_CAPTION)
    caption_ko = said(LONGEST_CAPTION)
    reason = reason_field()
