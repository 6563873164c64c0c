"""What goes over the wire about pictures that are changed."""

from typing import Any

from marshmallow import fields, validate

from crowd.core.http import Schema, remark
from crowd.images.pictures import MOST_REGIONS
from crowd.tasks.retouching.service import How
from crowd.tasks.schemas import LeaseTokenSchema, TaskImageSchema

# Far beyond any picture, and far from what a column cannot hold.
_PIXEL = validate.Range(-100_000, 100_000)


def _rectangle(**options: object) -> "fields.List[Any]":
    return fields.List(
        fields.Integer(strict=True, validate=_PIXEL),
        validate=validate.Length(equal=4, error="Left, top, width and height."),
        metadata={"description": "Left, top, width and height in pixels of the working image."},
        **options,  # type: ignore[arg-type]
    )


def _regions() -> "fields.List[Any]":
    return fields.List(_rectangle(), required=True, validate=validate.Length(1, MOST_REGIONS))


def _how() -> "fields.Enum[How]":
    return fields.Enum(
        How,
        by_value=True,
        load_default=How.MOSAIC,
        metadata={"description": "`crop`: what is above the lowest region's lower edge is cut off."},
    )


class CoverSchema(LeaseTokenSchema):
    """Faces that were missed, marked by whoever draws or reviews the image."""

    regions = _regions()
    how = _how()


class CoverImageSchema(Schema):
    """Faces that were missed, marked by the refining team or an admin."""

    regions = _regions()
    how = _how()
    reason = remark(1000)


class CropSchema(Schema):
    """What of the working image is kept."""

    box = _rectangle(required=True)
    reason = remark(1000)


class NewPictureSchema(Schema):
    """The image with its new picture; what was at (x, y) is now at (x, y) plus `shift`."""

    image = fields.Nested(TaskImageSchema, required=True)
    shift = fields.List(fields.Integer(), required=True)
