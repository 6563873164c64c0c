"""What goes over the wire about gold: for admins."""

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema
from crowd.gold.models import Origin, Step
from crowd.gold.service import STAGES
from crowd.policy import Grade, Stage
from crowd.tasks.schemas import TaskSchema
from crowd.tiers.schemas import reason_field

_STAGE = fields.Enum(Stage, by_value=True)
_REVIEWED = {
    "description": "By stage as for a submit; of a review {passes, blame}. Without it the image's own labels."
}


class NewGoldSchema(Schema):
    """An accepted image as gold at some stages."""

    image_id = fields.Integer(required=True, strict=True)
    stages = fields.List(
        fields.Enum(Stage, by_value=True, validate=validate.OneOf(STAGES)),
        required=True,
        validate=validate.Length(1, len(STAGES)),
    )
    answer = fields.Raw(load_default=None, allow_none=True, metadata=_REVIEWED)
    labels = fields.Dict(
        keys=fields.Enum(Stage, by_value=True),
        values=fields.Raw(),
        load_default=dict,
        metadata={"description": "Shown in place of the image's own, by stage; for reviewers to find wrong."},
    )
    fault = fields.Enum(
        Stage,
        by_value=True,
        load_default=None,
        allow_none=True,
        metadata={"description": "Have these labels made wrong: attributes or styles."},
    )
    reason = reason_field()


class GoldSchema(Schema):
    """A gold item, and how it has fared."""

    id = fields.Integer()
    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    origin = fields.Enum(Origin, by_value=True)
    active = fields.Boolean()
    labels = fields.Raw(metadata={"description": "What is shown, by stage."})
    answer = fields.Raw(metadata={"description": "What is known to be right."})
    served = fields.Integer(metadata={"description": "People who got it, hidden, in a course or in an exam."})
    answered = fields.Integer()
    passed = fields.Integer()
    failed = fields.Integer()
    mean = fields.Float(allow_none=True, metadata={"description": "How well it was met on average: 0 to 1."})
    worn_out = fields.Boolean(
        metadata={"description": "Most of those who may work at the stage have met it."}
    )
    suspicious = fields.Boolean(metadata={"description": "Nobody gets it right: maybe it is wrong itself."})
    created_at = Moment()


class GoldEventSchema(Schema):
    """What was done with an item; `by` null: the rule."""

    at = Moment()
    step = fields.Enum(Step, by_value=True)
    by = fields.String(allow_none=True)
    reason = fields.String()


class WholeGoldSchema(GoldSchema):
    """A gold item with all that was done with it."""

    events = fields.List(fields.Nested(GoldEventSchema))


class VoidedGoldSchema(GoldSchema):
    """A gold item that was wrong."""

    taken_out = fields.Integer(metadata={"description": "Answers that counted, and count no more."})


class NewGoldItemsSchema(Schema):
    """The items that were added."""

    items = fields.List(fields.Nested(GoldSchema))


class GoldListArgs(PageArgs):
    """The query of the list."""

    stage = fields.Enum(Stage, by_value=True, load_default=None)
    active = fields.Boolean(load_default=None)
    origin = fields.Enum(Origin, by_value=True, load_default=None)


class MissingSchema(Schema):
    """What the pool lacks for an exam; of reviews by kind, too."""

    questions = fields.Integer()
    good = fields.Integer()
    bad = fields.Integer()


class ExamStandingSchema(Schema):
    """Where somebody stands with a stage's exam."""

    items = fields.Integer()
    pass_mark = fields.Float()
    passed = fields.Boolean()
    open_id = fields.Integer(allow_none=True)
    tries_left = fields.Integer()
    not_before = Moment(allow_none=True)
    grade = fields.Enum(Grade, by_value=True, metadata={"description": "The grade that passing speaks for."})
    practice_left = fields.Integer(metadata={"description": "Practice answers before it may begin."})
    missing = fields.Nested(MissingSchema)


class CourseSchema(Schema):
    """A stage's course: how it is done, and how far one has come."""

    stage = fields.Enum(Stage, by_value=True)
    guide = fields.List(fields.String())
    practised = fields.Integer()
    right = fields.Integer()
    exam = fields.Nested(ExamStandingSchema)


class CoursesSchema(Schema):
    """Every course."""

    items = fields.List(fields.Nested(CourseSchema))


class PractiseSchema(Schema):
    """Practice; as a worked example it comes with its answer."""

    example = fields.Boolean(load_default=False, truthy={True}, falsy={False})


class PracticeSchema(Schema):
    """A practice task; `known` with a worked example alone."""

    task = fields.Nested(TaskSchema)
    known = fields.Raw(allow_none=True)


class LessonNoteSchema(Schema):
    """One thing that was compared, and a sentence about it."""

    path = fields.String()
    given = fields.Raw(allow_none=True)
    known = fields.Raw(allow_none=True)
    value = fields.Float()
    text = fields.String()


class LessonSchema(Schema):
    """What a practice answer got right and wrong."""

    task_id = fields.Integer()
    value = fields.Float()
    right = fields.Boolean()
    known = fields.Raw()
    notes = fields.List(fields.Nested(LessonNoteSchema))


class NewExamSchema(Schema):
    """The stage to be examined at."""

    stage = fields.Enum(Stage, by_value=True, required=True, validate=validate.OneOf(STAGES))


class ExamSchema(Schema):
    """An exam; score and result when it is over."""

    id = fields.Integer()
    worker_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    items = fields.Integer()
    answered = fields.Integer()
    started_at = Moment()
    ended_at = Moment(allow_none=True)
    score = fields.Float(allow_none=True)
    passed = fields.Boolean(allow_none=True)


class ExamListArgs(PageArgs):
    """Whose exams: one's own; of somebody else for admins."""

    worker = fields.Integer(load_default=None, validate=validate.Range(1))
