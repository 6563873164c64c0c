"""The shape of every answer, as marshmallow schemas: they validate, and OpenAPI is made from them.

Only the shape: whether a value exists, applies to the part, or lies in the image is said by
`labels` (and for verdicts by the review room).
"""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from crowd.core.schemas import flat
from crowd.tasks.labels import InvalidResult

_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_RINGS = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "array", "minItems": 3, "items": _POINT},
}


class ResultSchema(Schema):
    """Base of the answers: a field that is not known is an error, not ignored."""

    class Meta:
        """See marshmallow."""

        unknown = RAISE


class RegionSchema(ResultSchema):
    """One garment: its part, its outline (several rings: a garment cut in parts), its box."""

    id = fields.String(required=True, metadata={"example": "r1"})
    part = fields.String(required=True, metadata={"example": "top"})
    # Thousands of numbers, checked in one place: labels.check_segmentation names each that is wrong.
    rings = fields.Raw(
        required=True,
        metadata={
            **_RINGS,
            "description": "Pixels from the top left of the upright image.",
        },
    )
    box = fields.Raw(
        load_default=None,
        allow_none=True,
        metadata={
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "x, y, width, height in pixels; without it the bounds of the rings.",
        },
    )


class SegmentationResultSchema(ResultSchema):
    """Stage 1."""

    regions = fields.List(fields.Nested(RegionSchema), required=True)


class AttributesResultSchema(ResultSchema):
    """Stage 2: region id → attribute → value, list of values, or null."""

    regions = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True)),
        required=True,
        metadata={"example": {"r1": {"category": "blouses", "color": "white", "detail": ["frill"]}}},
    )


class StylesResultSchema(ResultSchema):
    """Stage 3, main style first; `unsure` asks further experts."""

    styles = fields.List(fields.String(), required=True, metadata={"example": ["resort", "country"]})
    unsure = fields.Boolean(load_default=False, truthy={True}, falsy={False})


class UnusableResultSchema(ResultSchema):
    """Instead of labels, in any labelling stage."""

    unusable = fields.String(required=True, metadata={"example": "watermark"})


class VerdictSchema(ResultSchema):
    """A review: Likert score, the stage to blame, reason codes, a comment."""

    score = fields.Integer(required=True, strict=True, validate=validate.Range(1, 5))
    blame = fields.String(load_default=None, allow_none=True, metadata={"example": "attributes"})
    reasons = fields.List(fields.String(), load_default=list, metadata={"example": ["wrong_entry"]})
    comment = fields.String(load_default="", validate=validate.Length(max=2000))


class SendBackSchema(ResultSchema):
    """The pre-check's "no"."""

    to = fields.String(load_default=None, allow_none=True, metadata={"example": "segmentation"})
    reasons = fields.List(fields.String(), load_default=list, metadata={"example": ["missing"]})
    comment = fields.String(load_default="", validate=validate.Length(max=2000))


SEGMENTATION = SegmentationResultSchema()
ATTRIBUTES = AttributesResultSchema()
STYLES = StylesResultSchema()
UNUSABLE = UnusableResultSchema()
VERDICT = VerdictSchema()
SEND_BACK = SendBackSchema()

EVERY_RESULT = (SEGMENTATION, ATTRIBUTES, STYLES, UNUSABLE, VERDICT)


def load(schema: Schema, result: object) -> dict[str, Any]:
    """`result` in the schema's shape. Raises InvalidResult with a path for each field at fault."""
    try:
        loaded: dict[str, Any] = schema.load(result)  # type: ignore[arg-type]  # any JSON may arrive
    except ValidationError as error:
        raise InvalidResult(flat(error.messages_dict, whole="")) from None
    return loaded
