"""What goes over the wire about redos."""

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema
from crowd.policy import Stage
from crowd.review.redo_models import RedoState
from crowd.tiers.schemas import reason_field


def _counts(description: str) -> fields.Dict:
    return fields.Dict(keys=fields.String(), values=fields.Integer(), metadata={"description": description})


class NewRedoSchema(Schema):
    """Whose answers (since when, at which stages) are to be done again, and why."""

    since = Moment(required=True)
    stages = fields.List(
        fields.Enum(Stage, by_value=True),
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, len(Stage)),
        metadata={"description": "Every stage, unless some are named."},
    )
    reason = reason_field()
    preview = fields.Boolean(
        load_default=True,
        truthy={True},
        falsy={False},
        metadata={"description": "Only tell how much it would be."},
    )


class RedoPreviewSchema(Schema):
    """How much a redo would be: images by the stage that opens, and their state; those left alone, by why."""

    answers = fields.Integer()
    images = fields.Integer()
    stages = fields.Dict(keys=fields.String(), values=_counts("By state, and in_releases."))
    left_alone = _counts("By why.")


class RedoJobSchema(Schema):
    """Where to ask how far it is."""

    id = fields.Integer()
    url = fields.String()


class OrderedRedoSchema(Schema):
    """The preview, or the job."""

    preview = fields.Nested(RedoPreviewSchema, allow_none=True)
    job = fields.Nested(RedoJobSchema, allow_none=True)


class RedoPageArgs(PageArgs):
    """The query of the list of redos."""

    worker = fields.Integer(load_default=None, metadata={"description": "The id of a person."})


class RedoSchema(Schema):
    """A redo; `looked_at` of the `answers` have been dealt with."""

    id = fields.Integer()
    worker_id = fields.Integer()
    since = Moment()
    stages = fields.List(fields.String())
    reason = fields.String()
    by = fields.String(allow_none=True)
    at = Moment()
    state = fields.Enum(RedoState, by_value=True)
    answers = fields.Integer()
    looked_at = fields.Integer()
    finished_at = Moment(allow_none=True)


class WholeRedoSchema(RedoSchema):
    """A redo with what became of its images."""

    reopened = _counts("Images by the stage that was opened.")
    left_alone = _counts("Images by why they were left alone.")
