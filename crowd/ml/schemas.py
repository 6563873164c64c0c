"""What goes over the wire about models, candidates and their figures."""

from typing import Any

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema, remark
from crowd.ml.models import Turn
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING

_WHY = {"description": "Kept in the registry's history."}


def _stage(**options: Any) -> fields.Enum[Stage]:
    return fields.Enum(Stage, by_value=True, **options)


class NewModelSchema(Schema):
    """The text parts of a model file that is sent in."""

    name = fields.String(required=True, metadata={"description": "1 to 60 of a-z 0-9 . _ -"})


class ModelFileSchema(Schema):
    """The file part: safetensors with a card in its metadata, as `crowd train` writes it."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class ModelListArgs(PageArgs):
    """Which models to list."""

    stage = _stage(load_default=None, validate=validate.OneOf(LABELLING))


class WhySchema(Schema):
    """Why a model begins or ceases to serve."""

    reason = remark(1000, metadata=_WHY)


class ModelSchema(Schema):
    """A version of a model."""

    id = fields.Integer()
    stage = _stage()
    name = fields.String()
    version = fields.Integer()
    title = fields.String(metadata={"description": "name@version, as candidates tell it"})
    serving = fields.Boolean()
    sha256 = fields.String()
    card = fields.Dict(metadata={"description": "See docs/models.md."})
    metrics = fields.Dict()
    created_by = fields.Integer(allow_none=True)
    created_at = Moment()


class ModelEventSchema(Schema):
    """Something that happened to a stage's models."""

    id = fields.Integer()
    at = Moment()
    what = fields.Enum(Turn, by_value=True)
    stage = _stage()
    model_id = fields.Integer(allow_none=True)
    before_id = fields.Integer(allow_none=True)
    who = fields.String(allow_none=True)
    why = fields.String()


class ServingSchema(Schema):
    """Which model serves a stage now; null: none."""

    stage = _stage()
    model = fields.Nested(ModelSchema, allow_none=True)


class UseSideSchema(Schema):
    """Answers to tasks whose candidates were shown, or withheld; rates are null without any."""

    answers = fields.Integer()
    accepted = fields.Float(allow_none=True, metadata={"description": "Share of answers equal to them."})
    replaced = fields.Float(allow_none=True, metadata={"description": "Share that kept nothing of them."})
    agreement = fields.Float(
        allow_none=True, metadata={"description": "Share of the proposed regions, values, styles in answers."}
    )
    edit = fields.Float(
        allow_none=True,
        metadata={
            "description": "Mean distance of answers: 1 - IoU of regions, attributes or styles that differ."
        },
    )
    bounced = fields.Float(allow_none=True, metadata={"description": "Share of answers sent back later."})
    seconds = fields.Float(allow_none=True, metadata={"description": "Mean time of an answer."})
    seconds_error = fields.Float(allow_none=True, metadata={"description": "Standard error of that mean."})


class UseFiguresSchema(Schema):
    """What one model's candidates did."""

    stage = _stage()
    model_id = fields.Integer()
    model = fields.String(metadata={"example": "ml_gcn@3"})
    serving = fields.Boolean()
    shown = fields.Nested(UseSideSchema)
    withheld = fields.Nested(UseSideSchema)
    faster = fields.Float(
        allow_none=True, metadata={"description": "Share of the time saved, 0.25: a quarter."}
    )
    faster_error = fields.Float(allow_none=True)
    bias = fields.Float(
        allow_none=True,
        metadata={"description": "Agreement with the model when it was shown, less that when it was not."},
    )


class CandidateFiguresSchema(Schema):
    """What candidates did, by stage and model."""

    items = fields.List(fields.Nested(UseFiguresSchema))


class RankedSchema(Schema):
    """One value with the model's score (0 to 1)."""

    value = fields.String(required=True)
    score = fields.Float(required=True)


class ProposedRegionSchema(Schema):
    """A region as a result has it, with the model's score."""

    id = fields.String(required=True)
    part = fields.String(required=True)
    rings = fields.Raw(required=True)
    box = fields.List(fields.Float(), required=True)
    score = fields.Float(required=True)


class SegmentationCandidatesSchema(Schema):
    """Candidates of a segmentation task: regions, the surest first."""

    model = fields.String(required=True)
    regions = fields.List(fields.Nested(ProposedRegionSchema), required=True)


class AttributesCandidatesSchema(Schema):
    """Candidates of an attributes task: region → attribute → values, the likeliest first."""

    model = fields.String(required=True)
    regions = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.List(fields.Nested(RankedSchema))),
        required=True,
    )


class StylesCandidatesSchema(Schema):
    """Candidates of a styles task, the likeliest first."""

    model = fields.String(required=True)
    styles = fields.List(fields.Nested(RankedSchema), required=True)


EVERY_CANDIDATES = (
    SegmentationCandidatesSchema(),
    AttributesCandidatesSchema(),
    StylesCandidatesSchema(),
)
