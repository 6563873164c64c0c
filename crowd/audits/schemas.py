"""What goes over the wire about audits and auditors."""

from marshmallow import fields, validate

from crowd.accounts.models import AccountKind
from crowd.accounts.names import LONGEST_NAME
from crowd.audits.figures import By
from crowd.audits.models import AuditState, AuditTurn, Opinion
from crowd.audits.service import MOST_SEED
from crowd.core.http import Moment, PageArgs, Schema, remark
from crowd.policy import Grade, Stage
from crowd.steering.schemas import CSV, JSON
from crowd.tiers.schemas import reason_field

LONGEST_COMMENT = 4000
CONFIDENCE = validate.Range(0.5, 0.9999)
TOLERABLE = validate.Range(0, 0.5, min_inclusive=False)


def _format() -> fields.String:
    return fields.String(load_default=None, validate=validate.OneOf([JSON, CSV]))


class NewAuditSchema(Schema):
    """Which accepted images are audited, how strictly, and why; what is left out is policy's."""

    supplier = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 200))
    batch = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 200))
    confidence = fields.Float(
        load_default=None,
        validate=CONFIDENCE,
        metadata={"description": "A lot beyond the tolerable rate fails at least so often."},
    )
    tolerable_rate = fields.Float(
        load_default=None,
        validate=TOLERABLE,
        metadata={"description": "Of the lot, that may be wrong."},
    )
    allowed_wrong = fields.Integer(
        load_default=None,
        strict=True,
        validate=validate.Range(0, 1000),
        metadata={"description": "Wrong images that are borne in the sample."},
    )
    seed = fields.Integer(
        load_default=None, allow_none=True, strict=True, validate=validate.Range(0, MOST_SEED)
    )
    reason = reason_field()


class AuditPreviewArgs(Schema):
    """The audit that somebody thinks of drawing; what is left out is policy's."""

    supplier = fields.String(load_default=None, validate=validate.Length(1, 200))
    batch = fields.String(load_default=None, validate=validate.Length(1, 200))
    confidence = fields.Float(load_default=None, validate=CONFIDENCE)
    tolerable_rate = fields.Float(load_default=None, validate=TOLERABLE)
    allowed_wrong = fields.Integer(load_default=None, validate=validate.Range(0, 1000))


class AuditPreviewSchema(Schema):
    """What would be drawn."""

    lot = fields.Integer(metadata={"description": "accepted images"})
    size = fields.Integer(metadata={"description": "images that would have to be judged"})
    confidence = fields.Float()
    tolerable_rate = fields.Float()
    allowed_wrong = fields.Integer()
    judges = fields.Integer(metadata={"description": "people who may judge, where they had no part"})
    grades = fields.List(fields.Enum(Grade, by_value=True))


class AuditPageArgs(PageArgs):
    """The query of the list of audits."""

    verdict = fields.Enum(AuditState, by_value=True, load_default=None)
    format = _format()


class AuditArgs(Schema):
    """JSON, or a table."""

    format = _format()


class AuditSchema(Schema):
    """An audit: what was drawn, how far it is, and the rate of wrong images in the lot with its bounds."""

    id = fields.Integer()
    verdict = fields.Enum(AuditState, by_value=True)
    supplier = fields.String(allow_none=True)
    batch = fields.String(allow_none=True)
    lot = fields.Integer(metadata={"description": "accepted images when it was drawn"})
    size = fields.Integer(metadata={"description": "images that have to be judged"})
    judged = fields.Integer()
    wrong = fields.Integer()
    void = fields.Integer(metadata={"description": "drawn, but no longer shown; others took their turn"})
    replaced = fields.Integer(
        metadata={"description": "drawn, but nobody might judge them; others took their turn"}
    )
    replaced_upper = fields.Float(
        metadata={
            "description": "of so much of the lot at most, such as those replaced, the rates say nothing"
        }
    )
    blocked = fields.Integer(metadata={"description": "images that wait and nobody may judge"})
    confidence = fields.Float()
    tolerable_rate = fields.Float()
    allowed_wrong = fields.Integer()
    rate = fields.Float(allow_none=True)
    lower = fields.Float()
    upper = fields.Float()
    seed = fields.Integer()
    reason = fields.String()
    by = fields.String(allow_none=True)
    drawn_at = Moment()
    decided_at = Moment(allow_none=True)
    ended_at = Moment(allow_none=True)
    blocks_releases = fields.Boolean()


class RateSchema(Schema):
    """How many of the judged images were wrong; each bound holds with the audit's confidence."""

    by = fields.Enum(By, by_value=True)
    id = fields.Integer(allow_none=True)
    name = fields.String(allow_none=True)
    judged = fields.Integer()
    wrong = fields.Integer()
    rate = fields.Float(allow_none=True)
    lower = fields.Float()
    upper = fields.Float()


class SignatureSchema(Schema):
    """Who signed what, and how the audit stood then."""

    id = fields.Integer()
    who = fields.String()
    at = Moment()
    verdict = fields.Enum(Opinion, by_value=True, attribute="opinion")
    comment = fields.String()
    audit_verdict = fields.Enum(AuditState, by_value=True, attribute="state")
    judged = fields.Integer()
    wrong = fields.Integer()
    current = fields.Boolean(metadata={"description": "Nothing about the audit has changed since."})


class AuditEventSchema(Schema):
    """Something that happened to an audit; nobody: by its figures, or by the command line."""

    at = Moment()
    what = fields.Enum(AuditTurn, by_value=True)
    who = fields.String(allow_none=True)
    reason = fields.String()


class AuditReturnSchema(Schema):
    """What goes back, and how far that is."""

    id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True, allow_none=True)
    reason = fields.String()
    by = fields.String(allow_none=True)
    at = Moment()
    reopened = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "By stage."}
    )
    left_alone = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "By why."}
    )
    finished_at = Moment(allow_none=True)


class WholeAuditSchema(AuditSchema):
    """An audit with the rates by stage, reviewer and supplier, its history, and who signed it."""

    blocked_for = fields.List(
        fields.Enum(Grade, by_value=True),
        metadata={"description": "Of these one more person would unblock it."},
    )
    rates = fields.List(fields.Nested(RateSchema))
    history = fields.List(fields.Nested(AuditEventSchema))
    signatures = fields.List(fields.Nested(SignatureSchema))
    sent_back = fields.List(fields.Nested(AuditReturnSchema))


class AuditImageArgs(PageArgs):
    """Which images of the sample: what is behind a rate."""

    wrong = fields.Boolean(load_default=None)
    blame = fields.Enum(Stage, by_value=True, load_default=None)
    reviewer = fields.Integer(load_default=None, metadata={"description": "Who had let them through."})
    supplier = fields.Integer(load_default=None)


class AuditImageSchema(Schema):
    """An image of the sample, and the verdict on it."""

    place = fields.Integer()
    image_id = fields.Integer()
    void = fields.Boolean()
    replaced = fields.Boolean()
    wrong = fields.Boolean(allow_none=True)
    score = fields.Integer(allow_none=True)
    blame = fields.Enum(Stage, by_value=True, allow_none=True)
    reasons = fields.List(fields.String(), allow_none=True)
    comment = fields.String(allow_none=True)
    who = fields.String(allow_none=True)
    at = Moment(allow_none=True, attribute="settled_at")


class SendBackLotSchema(Schema):
    """Why it goes back; what: the images found wrong, each to the stage to blame, and the rest of the lot."""

    reason = reason_field()
    lot = fields.Boolean(
        load_default=True,
        truthy={True},
        falsy={False},
        metadata={"description": "False: what was found wrong alone; the failed audit stands."},
    )
    stage = fields.Enum(
        Stage,
        by_value=True,
        load_default=Stage.SECOND_REVIEW,
        validate=validate.OneOf([Stage.FIRST_REVIEW, Stage.SECOND_REVIEW]),
        metadata={"description": "The review that the rest of the lot goes through again."},
    )
    preview = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Only tell how much it would be."},
    )


class SentBackSchema(Schema):
    """How many images go back by stage (a preview), or the order's id."""

    preview = fields.Dict(keys=fields.String(), values=fields.Integer(), allow_none=True)
    id = fields.Integer(allow_none=True)


class RedrawAuditSchema(Schema):
    """Why other images are drawn for those that nobody may judge."""

    reason = reason_field()


class DropAuditSchema(Schema):
    """Why an audit is given up."""

    reason = reason_field()


class SignSchema(Schema):
    """An auditor's opinion."""

    verdict = fields.Enum(Opinion, by_value=True, required=True)
    comment = remark(LONGEST_COMMENT)


class NewAuditorSchema(Schema):
    """The user name of an auditor to be."""

    username = fields.String(required=True, validate=validate.Length(1, 2 * LONGEST_NAME))


class AuditorSchema(Schema):
    """An auditor's account."""

    id = fields.Integer()
    username = fields.String()
    kind = fields.Enum(AccountKind, by_value=True)
    suspended = fields.Boolean()


class WelcomeAuditorSchema(Schema):
    """A new auditor; token and password are shown this once."""

    id = fields.Integer()
    username = fields.String()
    kind = fields.Enum(AccountKind, by_value=True)
    token = fields.String()
    password = fields.String()
