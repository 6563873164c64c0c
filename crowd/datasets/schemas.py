"""What goes over the wire about releases and exports."""

from marshmallow import fields, validate

from crowd.core.http import Moment, Schema, said
from crowd.datasets.about import ABOUT
from crowd.datasets.models import ExportState, Verdict
from crowd.datasets.records import Split
from crowd.images.models import What

LONGEST_TEXT = 4000
MOST_FIGURES = 200


class NewReleaseSchema(Schema):
    """A release to be."""

    name = fields.String(required=True, metadata={"description": "1 to 100 of A-Z a-z 0-9 . _ -"})
    about = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        load_default=None,
        allow_none=True,
        metadata={"description": f"Free fields of the specification form: {', '.join(ABOUT)}."},
    )


class ReleaseSchema(Schema):
    """A frozen data set, as its newest revision has it."""

    id = fields.Integer()
    name = fields.String()
    images = fields.Integer()
    revision = fields.Integer(
        metadata={"description": "1, and one more each time images were withdrawn or a picture made anew."}
    )
    withdrawn = fields.Integer(metadata={"description": "Images that were in it and are no more."})
    remade = fields.Integer(
        metadata={"description": "Images that are another picture than at first: faces covered, parts cut."}
    )
    created_at = Moment()


class SplitsSchema(Schema):
    """Images per split."""

    train = fields.Integer()
    validation = fields.Integer()
    test = fields.Integer()


class WholeReleaseSchema(ReleaseSchema):
    """A frozen data set with its splits."""

    splits = fields.Nested(SplitsSchema)
    about = fields.Dict(keys=fields.String(), values=fields.String(), allow_none=True)


class OfferedSchema(ReleaseSchema):
    """A release as everybody may know of it; `access` is how the caller's newest request stands."""

    access = fields.String(
        allow_none=True, metadata={"description": "asked, approved, denied, revoked; null: never asked."}
    )


class TombstoneSchema(Schema):
    """An image that was withdrawn; it is in no revision from this one on."""

    image_id = fields.Integer()
    revision = fields.Integer()
    at = Moment()


class ReleasePictureSchema(Schema):
    """An image that is another picture from this revision on; pictures are named by their SHA-256."""

    image_id = fields.Integer()
    revision = fields.Integer()
    what = fields.Enum(What, by_value=True, metadata={"description": "covered or cropped."})
    before = fields.String(allow_none=True, metadata={"description": "null: the one that intake made."})
    picture = fields.String()
    at = Moment()


class DiffSizesSchema(Schema):
    """Images by what became of them."""

    added = fields.Integer()
    removed = fields.Integer()
    relabelled = fields.Integer()
    moved = fields.Integer(metadata={"description": "To another split."})


class DifferenceSchema(Schema):
    """An image in which two releases differ."""

    image_id = fields.Integer()
    what = fields.List(fields.String(), metadata={"description": "added, removed, relabelled, moved."})
    stages = fields.List(fields.String(), metadata={"description": "Whose labels are another version."})
    split_before = fields.Enum(Split, by_value=True, allow_none=True)
    split_after = fields.Enum(Split, by_value=True, allow_none=True)


class DiffSchema(Schema):
    """From one release to another: how many images differ, and a page of them."""

    sizes = fields.Nested(DiffSizesSchema)
    items = fields.List(fields.Nested(DifferenceSchema))
    next_cursor = fields.String(allow_none=True)


class NewAccessRequestSchema(Schema):
    """A request to be."""

    purpose = said(LONGEST_TEXT)


class AccessVerdictSchema(Schema):
    """A decision to be."""

    reason = said(LONGEST_TEXT)


class AskedSchema(Schema):
    """What every request tells; `verdict` is null until somebody has decided."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    purpose = fields.String()
    at = Moment()
    verdict = fields.Enum(Verdict, by_value=True, allow_none=True)
    reason = fields.String(allow_none=True)
    decided_at = Moment(allow_none=True)


class UsedSchema(Schema):
    """What every use tells; `request_id` is what allowed it, null for admins."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    request_id = fields.Integer(allow_none=True)
    at = Moment()


class AccessRequestSchema(AskedSchema):
    """A person asks for a release; `verdict` is null until somebody has decided."""

    release_id = fields.Integer()


class DownloadSchema(UsedSchema):
    """Somebody fetched a release; `request_id` is what allowed it, null for admins."""

    export_id = fields.Integer()
    format = fields.String()
    layout = fields.String()
    revision = fields.Integer()


class NewTestResultSchema(Schema):
    """What a model achieved that was trained on the release."""

    model = said(100)
    model_id = fields.Integer(
        load_default=None, allow_none=True, metadata={"description": "If it is registered."}
    )
    split = fields.Enum(Split, by_value=True, load_default=Split.TEST)
    figures = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 100)),
        values=fields.Float(),
        required=True,
        validate=validate.Length(1, MOST_FIGURES),
    )


class TestResultSchema(NewTestResultSchema):
    """What a model achieved, and when that was noted."""

    id = fields.Integer()
    actor_id = fields.Integer(
        allow_none=True, metadata={"description": "null: the model brought it along, added by command."}
    )
    at = Moment()


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
    revision = fields.Integer()
    written = fields.Integer()
    total = fields.Integer()
    error = fields.String(allow_none=True)
    download = fields.String(allow_none=True)
    created_at = Moment()
    finished_at = Moment(allow_none=True)
