"""What the task engine takes and gives over HTTP."""

from marshmallow import INCLUDE, fields, validate

from crowd.core.http import Cursor, Moment, PageArgs, Schema, remark, said
from crowd.images.models import ImageState, What
from crowd.images.schemas import FindingSchema
from crowd.policy import Stage
from crowd.tasks.models import Kind, Purpose
from crowd.tasks.progress import Trouble

_RESULT = {
    "description": "By stage: SegmentationResult, AttributesResult, StylesResult or UnusableResult "
    "when labelling; a Verdict when reviewing; StylesResult in an adjudication caused by `styles`.",
    "oneOf": [
        # Of an answer that is repeated, only the token is looked at.
        {"type": "null"},
        *(
            {"$ref": f"#/components/schemas/{name}"}
            for name in (
                "SegmentationResult",
                "AttributesResult",
                "StylesResult",
                "UnusableResult",
                "Verdict",
            )
        ),
    ],
}

_CANDIDATES = {
    "description": "What a model proposes, ranked, with scores; null: nothing (yet), or not for this task.",
    "oneOf": [
        {"type": "null"},
        *(
            {"$ref": f"#/components/schemas/{name}Candidates"}
            for name in ("Segmentation", "Attributes", "Styles")
        ),
    ],
}


class ClaimSchema(Schema):
    """Which task is wanted; without a stage the next one in claim order."""

    stage = fields.Enum(Stage, by_value=True, load_default=None)


class LeaseTokenSchema(Schema):
    """The lease's token."""

    token = fields.Integer(required=True, strict=True)


class GiveBackSchema(LeaseTokenSchema):
    """Giving a task back."""

    reason = remark(1000, metadata={"description": "Kept in the image's history."})
    skip = fields.Boolean(load_default=False, truthy={True}, falsy={False})


class AnswerSchema(LeaseTokenSchema):
    """Base of the answers: whatever else is in the body is looked at once the token is known to be new.

    A repeated answer gets the first outcome again, whatever its body has become.
    """

    class Meta:
        """See marshmallow."""

        unknown = INCLUDE


class SubmitSchema(AnswerSchema):
    """An answer."""

    result = fields.Raw(load_default=None, allow_none=True, metadata=_RESULT)
    seconds = fields.Raw(
        load_default=None,
        allow_none=True,
        metadata={"type": "number", "minimum": 0, "maximum": 86400, "description": "Time spent."},
    )


class SendBackSchema(AnswerSchema):
    """The pre-check's "no"; `to` is the stage before unless given."""

    to = fields.Raw(load_default=None, allow_none=True, metadata={"type": "string"})
    reasons = fields.Raw(
        load_default=list, metadata={"type": "array", "items": {"type": "string"}, "minItems": 1}
    )
    comment = fields.Raw(load_default="", metadata={"type": "string", "maxLength": 2000})
    seconds = SubmitSchema().fields["seconds"]


class BatchClaimSchema(Schema):
    """How many second reviews are wanted for the grid."""

    stage = fields.Enum(Stage, by_value=True, required=True)
    limit = fields.Integer(
        strict=True,
        load_default=20,
        validate=validate.Range(1, 1000),
        metadata={"description": "Never more than the policy lets one person hold in the grid."},
    )


class BatchAnswerSchema(SubmitSchema):
    """One answer of a grid."""

    task_id = fields.Integer(required=True, strict=True)


class BatchSubmitSchema(Schema):
    """The answers of a grid; each is taken or refused by itself."""

    answers = fields.List(fields.Nested(BatchAnswerSchema), required=True, validate=validate.Length(1, 200))


class LeaseSchema(Schema):
    """A lease: the token to answer with, and when it ends."""

    token = fields.Integer(required=True)
    expires_at = Moment(required=True)


class LeaseAnswerSchema(Schema):
    """A heartbeat's answer."""

    lease = fields.Nested(LeaseSchema, required=True)


class TaskImageSchema(Schema):
    """The working image: pixels from the top left."""

    id = fields.Integer(required=True)
    url = fields.String(required=True)
    width = fields.Integer(required=True)
    height = fields.Integer(required=True)


class LabelsSchema(Schema):
    """The labels of each stage so far; null where there are none."""

    segmentation = fields.Raw(allow_none=True)
    attributes = fields.Raw(allow_none=True)
    styles = fields.Raw(allow_none=True)


class FeedbackSchema(Schema):
    """Why an image came back; no names."""

    stage = fields.Enum(Stage, by_value=True)
    score = fields.Integer(allow_none=True)
    reasons = fields.List(fields.String())
    comment = fields.String()
    at = Moment()


class TaskSchema(Schema):
    """A claimed task."""

    id = fields.Integer(required=True)
    stage = fields.Enum(Stage, by_value=True, required=True)
    round = fields.Integer(required=True)
    lease = fields.Nested(LeaseSchema, required=True)
    taxonomy_id = fields.Integer(
        required=True, metadata={"description": "The taxonomy it is answered under; see GET /taxonomy."}
    )
    image = fields.Nested(TaskImageSchema, required=True)
    labels = fields.Nested(LabelsSchema, required=True)
    candidates = fields.Raw(allow_none=True, metadata=_CANDIDATES)
    feedback = fields.List(fields.Nested(FeedbackSchema), required=True)
    cause = fields.String()
    disputed = fields.String(allow_none=True)


class TasksSchema(Schema):
    """Several claimed tasks."""

    tasks = fields.List(fields.Nested(TaskSchema), required=True)


class AnsweredSchema(Schema):
    """An answer that stands."""

    task_id = fields.Integer(required=True)
    state = fields.String(required=True, metadata={"example": "done"})


class OutcomeSchema(Schema):
    """What became of one answer of a grid."""

    task_id = fields.Integer(required=True)
    status = fields.Integer(required=True, metadata={"description": "The HTTP status it would have had."})
    code = fields.String()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class OutcomesSchema(Schema):
    """One outcome for each answer, in order."""

    outcomes = fields.List(fields.Nested(OutcomeSchema), required=True)


class DecideSchema(Schema):
    """An admin's decision; `in_work` opens `stage`."""

    state = fields.Enum(
        ImageState,
        by_value=True,
        required=True,
        validate=validate.NoneOf([ImageState.HELD], error="An admin does not hold; decide."),
    )
    stage = fields.Enum(Stage, by_value=True, load_default=Stage.SEGMENTATION)
    reason = said(1000)
    contract_id = fields.Integer(
        load_default=None,
        metadata={"description": "The contract or consent that an image which is let in comes under."},
    )


class EventSchema(Schema):
    """One row of an image's history."""

    at = Moment()
    who = fields.String(allow_none=True)
    what = fields.Enum(What, by_value=True)
    stage = fields.Enum(Stage, by_value=True, allow_none=True)
    target = fields.Enum(Stage, by_value=True, allow_none=True)
    round = fields.Integer()
    task_id = fields.Integer(allow_none=True)
    why = fields.Raw(allow_none=True)


class ImageSchema(Schema):
    """An image as the caller may see it."""

    id = fields.Integer()
    state = fields.Enum(ImageState, by_value=True)
    round = fields.Integer()
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    url = fields.String(allow_none=True)
    labels = fields.Nested(LabelsSchema)
    history = fields.List(fields.Nested(EventSchema))
    file_name = fields.String()
    supplier = fields.String()
    rights = fields.String()
    findings = fields.List(fields.Nested(FindingSchema))


class StageProgressSchema(Schema):
    """The figures of one stage."""

    ready = fields.Integer()
    leased = fields.Integer()
    done = fields.Integer()
    bounced = fields.Integer()
    blocked = fields.Integer()
    blocked_at_least = fields.Boolean(
        metadata={"description": "Only what is next in line was looked at; more may be blocked."}
    )
    blocked_for = fields.List(fields.String())
    stuck = fields.Integer()
    oldest_ready_seconds = fields.Float(allow_none=True)


class ProgressSchema(Schema):
    """How the work stands."""

    stages = fields.Dict(keys=fields.String(), values=fields.Nested(StageProgressSchema))
    images = fields.Dict(keys=fields.String(), values=fields.Integer())


class TroubleArgs(PageArgs):
    """Which kind of trouble to list."""

    cursor = Cursor(int, int, load_default=(0, 0), metadata={"type": "string"})
    kind = fields.Enum(
        Trouble, by_value=True, load_default=None, metadata={"description": "Without it, every kind."}
    )


class TroubleSchema(Schema):
    """Something only an admin can move."""

    kind = fields.Enum(Trouble, by_value=True)
    image_id = fields.Integer(allow_none=True, metadata={"description": "Null: it is about an audit."})
    task_id = fields.Integer(allow_none=True)
    audit_id = fields.Integer(metadata={"description": "An audit, of which nobody may judge `images`."})
    images = fields.Integer()
    stage = fields.Enum(Stage, by_value=True, allow_none=True)
    since = Moment()
    blocked_for = fields.List(fields.String())
    why = fields.Raw(allow_none=True)


class OwnFeedbackSchema(FeedbackSchema):
    """Feedback on one's own answer."""

    image_id = fields.Integer()
    target = fields.Enum(Stage, by_value=True)


class OwnAnswerSchema(Schema):
    """An answer that the caller gave."""

    id = fields.Integer()
    task_id = fields.Integer()
    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    kind = fields.Enum(Kind, by_value=True)
    counted = fields.Boolean(metadata={"description": "False: it came too late."})
    seconds = fields.Float(allow_none=True)
    at = Moment()
    purpose = fields.Enum(
        Purpose, by_value=True, allow_none=True, metadata={"description": "Of practice and exams alone."}
    )
