"""What goes over the wire about the taxonomy and its editions."""

from marshmallow import fields, validate

from crowd.core.http import Moment, Schema, said
from crowd.taxonomy import Turn

LONGEST_REASON = 1000
LONGEST_FILE = 1024 * 1024


class TaxonomySchema(Schema):
    """The taxonomy that holds; keys are what answers hold. What is `retired` is not chosen any more."""

    name = fields.String()
    version = fields.String()
    digest = fields.String()
    id = fields.Integer(
        metadata={"description": "A claimed task says by its taxonomy_id which one it keeps."}
    )
    number = fields.Integer(metadata={"description": "0: the file that processes start with."})
    parts = fields.List(fields.Dict())
    attributes = fields.List(fields.Dict())
    style_groups = fields.List(fields.Dict())
    styles = fields.List(fields.Dict())
    reasons = fields.List(fields.Dict())
    unusable = fields.List(fields.Dict())


class TaxonomyChangeSchema(Schema):
    """One difference between two versions; of an order the keys before and after."""

    path = fields.String(required=True, metadata={"example": "styles.street.definition.en"})
    turn = fields.String(required=True, validate=validate.OneOf([str(turn) for turn in Turn]))
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)


class TaxonomyEditionSchema(Schema):
    """A version that held from then on."""

    number = fields.Integer(required=True)
    id = fields.Integer(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True)
    digest = fields.String(required=True)
    who = fields.String(
        required=True, allow_none=True, metadata={"description": "Null: at the machine itself."}
    )
    reason = fields.String(required=True)
    changes = fields.List(fields.Nested(TaxonomyChangeSchema), required=True)
    at = Moment(required=True, allow_none=True)


class WholeTaxonomyEditionSchema(TaxonomyEditionSchema):
    """A version with its document, in the form of a taxonomy file."""

    document = fields.Dict(required=True)


class TaxonomyWishSchema(Schema):
    """A taxonomy to be looked at; one of `document` and `file` is needed."""

    after = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(0, 1_000_000),
        metadata={"description": "The number of the version that its author has read."},
    )
    document = fields.Dict(load_default=None, allow_none=True, metadata={"description": "As plain data."})
    file = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, LONGEST_FILE),
        metadata={"description": "As the text of a taxonomy file (YAML)."},
    )


class NewTaxonomySchema(TaxonomyWishSchema):
    """The next version, and why."""

    reason = said(LONGEST_REASON)


class TaxonomyHeldSchema(Schema):
    """How many labels hold a code that would go out of use."""

    path = fields.String(required=True)
    labels = fields.Integer(required=True)
    whole = fields.Boolean(
        required=True, metadata={"description": "False: at least so many, among the newest labels."}
    )


class TaxonomyOutlookSchema(Schema):
    """What publishing would do; with `refusals` (by path in the document) it would be refused."""

    after = fields.Integer(required=True)
    changes = fields.List(fields.Nested(TaxonomyChangeSchema), required=True)
    held = fields.List(fields.Nested(TaxonomyHeldSchema), required=True)
    refusals = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), required=True)
