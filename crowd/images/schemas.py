"""What the images room takes and gives over HTTP."""

from marshmallow import ValidationError, fields, validate

from crowd.core.http import Moment, PageArgs, Schema, Text
from crowd.images.models import ImageState
from crowd.images.rights import Rights
from crowd.images.service import name_fault
from crowd.policy import Action


def _check_name(name: str) -> None:
    if fault := name_fault(name):
        raise ValidationError(fault)


class UploadFormSchema(Schema):
    """The text parts of an upload."""

    supplier = fields.String(required=True, validate=_check_name)
    rights = fields.Enum(Rights, by_value=True, load_default=Rights.UNKNOWN)
    batch = fields.String(load_default=None, validate=_check_name)


class UploadFileSchema(Schema):
    """The file part of an upload."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class FindingSchema(Schema):
    """Something intake noticed: what it does, what was measured, and the threshold it was held against."""

    code = fields.String(required=True)
    detail = fields.String(required=True)
    action = fields.Enum(Action, by_value=True)
    numbers = fields.Dict(keys=fields.String(), allow_none=True)
    limits = fields.Dict(keys=fields.String(), allow_none=True)


class IntakeSchema(Schema):
    """The intake decision."""

    id = fields.Integer(required=True)
    state = fields.String(
        required=True, metadata={"description": "`accepted` at intake, `held` for an admin, or `refused`."}
    )
    findings = fields.List(fields.Nested(FindingSchema), required=True)


class OriginalArgs(Schema):
    """Why somebody looks at an original."""

    reason = Text(load_default=None, validate=validate.Length(1, 1000))


class ImageListArgs(PageArgs):
    """Filters of the list of images."""

    state = fields.Enum(ImageState, by_value=True, load_default=None)
    supplier = fields.String(load_default=None)


class ImageRowSchema(Schema):
    """One image in a list."""

    id = fields.Integer()
    state = fields.Enum(ImageState, by_value=True)
    round = fields.Integer()
    file_name = fields.String()
    supplier = fields.String()
    rights = fields.Enum(Rights, by_value=True)
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    created_at = Moment()
