"""What goes over the wire about releases and exports."""

from marshmallow import fields

from crowd.core.http import Moment, Schema
from crowd.datasets.models import ExportState


class NewReleaseSchema(Schema):
    """A release to be."""

    name = fields.String(required=True, metadata={"description": "1 to 100 of A-Z a-z 0-9 . _ -"})


class ReleaseSchema(Schema):
    """A frozen data set."""

    id = fields.Integer()
    name = fields.String()
    images = fields.Integer()
    created_at = Moment()


class SplitsSchema(Schema):
    """Images per split."""

    train = fields.Integer()
    validation = fields.Integer()
    test = fields.Integer()


class WholeReleaseSchema(ReleaseSchema):
    """A frozen data set with its splits."""

    splits = fields.Nested(SplitsSchema)


class NewExportSchema(Schema):
    """An export to be."""

    format = fields.String(required=True)
    layout = fields.String(load_default=None, metadata={"description": "The format's default if left out."})


class JobLinkSchema(Schema):
    """Where to ask for a job."""

    id = fields.Integer()
    url = fields.String()


class OrderedSchema(Schema):
    """A job was ordered."""

    job = fields.Nested(JobLinkSchema)


class JobSchema(Schema):
    """How far an export is; `download` is there once it is done."""

    id = fields.Integer()
    state = fields.Enum(ExportState, by_value=True)
    release = fields.String()
    format = fields.String()
    layout = fields.String()
    written = fields.Integer()
    total = fields.Integer()
    error = fields.String(allow_none=True)
    download = fields.String(allow_none=True)
    created_at = Moment()
    finished_at = Moment(allow_none=True)
