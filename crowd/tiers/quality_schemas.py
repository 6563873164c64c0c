"""What goes over the wire about quality and proposals."""

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema
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
    """Somebody's quality by stage. One's own stands still during a day (UTC)."""

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


class ConfirmSchema(Schema):
    """Why a proposal is confirmed, if there is more to say than the rule does."""

    reason = fields.String(load_default="", validate=validate.Length(max=LONGEST_REASON))


class DismissSchema(ReasonSchema):
    """Why a proposal is dismissed."""
