"""What goes over the wire about quality and proposals."""

from marshmallow import fields

from crowd.core.http import Moment, PageArgs, Schema, remark
from crowd.policy import Grade, Stage
from crowd.tiers.flag_models import FlagCode, FlagState
from crowd.tiers.quality_models import ProposalState
from crowd.tiers.schemas import ReasonSchema
from crowd.tiers.score import Kind
from crowd.tiers.service import LONGEST_REASON


class StageQualitySchema(Schema):
    """What is known of somebody at a stage: the share of good answers, 0 to 1, from `n` judged ones."""

    score = fields.Float()
    lower = fields.Float()
    upper = fields.Float()
    n = fields.Integer()
    gold_n = fields.Integer(metadata={"description": "Answers on gold among them; admins see it."})


class SeveritySchema(Schema):
    """What the last nightly fit found of a reviewer."""

    bias = fields.Float(metadata={"description": "Points above what others give the same people."})
    weight = fields.Float(metadata={"description": "What their word weighs, 0 to 1."})
    kappa = fields.Float(allow_none=True, metadata={"description": "Agreement with the experts."})
    offset = fields.Float(allow_none=True, metadata={"description": "Points above the experts."})
    compared = fields.Integer(metadata={"description": "Reviews compared with the experts'."})
    reviews = fields.Integer()


class QualityFlagSchema(Schema):
    """A flag about somebody; see `/flags` for what is behind it."""

    id = fields.Integer()
    code = fields.Enum(FlagCode, by_value=True)
    stage = fields.Enum(Stage, by_value=True, allow_none=True)
    state = fields.Enum(FlagState, by_value=True)
    opened_at = Moment()


class QualitySchema(Schema):
    """Somebody's quality by stage. One's own is reckoned without gold and stands still during a day (UTC)."""

    stages = fields.Dict(keys=fields.String(), values=fields.Nested(StageQualitySchema))
    flags = fields.List(fields.Nested(QualityFlagSchema))
    severity = fields.Nested(
        SeveritySchema, allow_none=True, metadata={"description": "Of a reviewer; admins see it."}
    )


class EvidenceSchema(Schema):
    """One judgement of one answer, newest first. What only admins see is left out of one's own."""

    id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    kind = fields.Enum(Kind, by_value=True)
    value = fields.Float(metadata={"description": "How good the answer was, 0 to 1, as it came in."})
    weight = fields.Float(metadata={"description": "Gold weighs 1; a reviewer's word as the fit says."})
    score = fields.Integer(allow_none=True)
    against = fields.Float(allow_none=True, metadata={"description": "What the experts gave."})
    opens = fields.Boolean(metadata={"description": "The first judgement of the answer."})
    task_id = fields.Integer()
    image_id = fields.Integer(allow_none=True)
    judge = fields.String(allow_none=True)
    at = Moment()
    cancels_id = fields.Integer(allow_none=True, metadata={"description": "It takes that one out."})
    why = fields.String(allow_none=True)
    taken_out = fields.Boolean()


class ProposalPageArgs(PageArgs):
    """The query of the list of proposals."""

    state = fields.Enum(ProposalState, by_value=True, load_default=ProposalState.OPEN)


class ProposalSchema(Schema):
    """What the rule proposes for somebody; `evidence` holds its name and the figures of each stage."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    old_grade = fields.Enum(Grade, by_value=True)
    new_grade = fields.Enum(Grade, by_value=True)
    evidence = fields.Raw(metadata={"type": "object"})
    at = Moment()
    state = fields.Enum(ProposalState, by_value=True)
    closed_at = Moment(allow_none=True)
    by = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)


class OwnProposalSchema(Schema):
    """What is or was proposed for the caller, newest first; the rule's own of today come tomorrow."""

    id = fields.Integer()
    old_grade = fields.Enum(Grade, by_value=True)
    new_grade = fields.Enum(Grade, by_value=True)
    rule = fields.String()
    at = Moment()
    state = fields.Enum(ProposalState, by_value=True)
    closed_at = Moment(allow_none=True)


class StageOutlookSchema(Schema):
    """What the rule wants of a stage before it looks at it, and before it proposes the next grade."""

    stage = fields.Enum(Stage, by_value=True)
    judged = fields.Integer(metadata={"description": "Judged answers since the last change of grade."})
    judged_wanted = fields.Integer()
    lower = fields.Float(allow_none=True, metadata={"description": "The lower bound; null: nothing judged."})
    lower_wanted = fields.Float()
    upper = fields.Float(allow_none=True)
    upper_wanted = fields.Float(metadata={"description": "An upper bound below it proposes the grade below."})
    needed = fields.Boolean(metadata={"description": "Without this stage nothing is proposed."})


class OutlookSchema(Schema):
    """Where the caller stands towards the next grade, as the day (UTC) began, by all but gold."""

    grade = fields.Enum(Grade, by_value=True)
    next_grade = fields.Enum(Grade, by_value=True, allow_none=True)
    below = fields.Enum(Grade, by_value=True, allow_none=True)
    stages = fields.List(fields.Nested(StageOutlookSchema))
    exam = fields.Enum(
        Stage, by_value=True, allow_none=True, metadata={"description": "The exam the next grade asks for."}
    )
    exam_passed = fields.Boolean()
    not_before = Moment(
        allow_none=True, metadata={"description": "Until then nothing is proposed after the last change."}
    )
    proposals = fields.List(fields.Nested(OwnProposalSchema))


class ConfirmSchema(Schema):
    """Why a proposal is confirmed, if there is more to say than the rule does."""

    reason = remark(LONGEST_REASON)


class DismissSchema(ReasonSchema):
    """Why a proposal is dismissed."""
