"""What goes over the wire about guidelines."""

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema, said
from crowd.policy import Stage
from crowd.tasks.guidelines.models import Language

LONGEST_TEXT = 20_000
LONGEST_REASON = 1000


class GuidelineArgs(Schema):
    """Which language."""

    lang = fields.Enum(Language, by_value=True, load_default=Language.EN)


class VersionArgs(PageArgs):
    """Which language, and where to go on."""

    lang = fields.Enum(Language, by_value=True, load_default=Language.EN)


class GuidelineSchema(Schema):
    """A stage's guideline as it holds: `## ` begins a heading, `- ` a point, `**` encloses what matters."""

    stage = fields.Enum(Stage, by_value=True, required=True)
    language = fields.Enum(Language, by_value=True, required=True)
    version = fields.Integer(required=True, metadata={"description": "0: it came with the product."})
    text = fields.String(required=True)
    at = Moment(required=True, allow_none=True)


class VersionSchema(Schema):
    """A version that an admin wrote."""

    version = fields.Integer(required=True)
    text = fields.String(required=True)
    reason = fields.String(required=True)
    who = fields.String(required=True)
    at = Moment(required=True)


class NewGuidelineSchema(Schema):
    """The next version; `after` is the one that its author has read."""

    language = fields.Enum(Language, by_value=True, required=True)
    text = said(LONGEST_TEXT)
    reason = said(LONGEST_REASON)
    after = fields.Integer(required=True, strict=True, validate=validate.Range(0, 1_000_000))
