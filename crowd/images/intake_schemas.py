"""What goes over the wire about suppliers, contracts and deliveries."""

from marshmallow import ValidationError, fields, validate

from crowd.accounts.models import AccountKind
from crowd.core.http import Moment, PageArgs, Schema, remark, said
from crowd.images.deliveries import STATES_TOLD
from crowd.images.delivery_models import ContractWhat, Step
from crowd.images.rights import Rights, Use
from crowd.images.schemas import FindingSchema
from crowd.images.service import name_fault
from crowd.policy import Action

LONGEST_REASON = 1000


def _check_name(name: str) -> None:
    if fault := name_fault(name):
        raise ValidationError(fault)


class NewSupplierSchema(Schema):
    """A supplier's name."""

    name = fields.String(required=True, validate=_check_name)


class SupplierSchema(Schema):
    """A supplier."""

    id = fields.Integer()
    name = fields.String()
    created_at = Moment()


class NewAccountSchema(Schema):
    """The user name of an account."""

    username = fields.String(required=True)


class AccountSchema(Schema):
    """An account of a supplier or a refiner."""

    id = fields.Integer()
    username = fields.String()
    kind = fields.Enum(AccountKind, by_value=True)
    suspended = fields.Boolean()


class WelcomeAccountSchema(Schema):
    """A new account; token and password are shown this once."""

    id = fields.Integer()
    username = fields.String()
    kind = fields.Enum(AccountKind, by_value=True)
    token = fields.String()
    password = fields.String()


class ContractFormSchema(Schema):
    """The text parts of a contract that is handed in."""

    supplier = fields.String(load_default=None, validate=_check_name)
    kind = fields.Enum(Rights, by_value=True, required=True)
    title = remark(200)
    valid_from = fields.Date(load_default=None)
    valid_to = fields.Date(load_default=None)
    allows = fields.List(fields.Enum(Use, by_value=True), load_default=list(Use))


class FileSchema(Schema):
    """The file part of a form."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class ContractEventSchema(Schema):
    """Something that happened to a contract."""

    at = Moment()
    what = fields.Enum(ContractWhat, by_value=True)
    worker_id = fields.Integer(allow_none=True)
    why = fields.String()


class ContractSchema(Schema):
    """A contract or consent; one without a file is what a supplier declared with an upload."""

    id = fields.Integer()
    supplier = fields.String()
    kind = fields.Enum(Rights, by_value=True)
    title = fields.String()
    file_name = fields.String(allow_none=True)
    valid_from = fields.Date(allow_none=True)
    valid_to = fields.Date(allow_none=True)
    allows = fields.List(fields.String())
    created_at = Moment()
    withdrawn_at = Moment(allow_none=True)


class ContractDetailSchema(ContractSchema):
    """A contract with its history."""

    events = fields.List(fields.Nested(ContractEventSchema))


class WithdrawSchema(Schema):
    """Why a contract ends."""

    reason = said(LONGEST_REASON)


class NewDeliverySchema(Schema):
    """A delivery that begins; the same name again is the same delivery."""

    supplier = fields.String(load_default=None, validate=_check_name)
    name = fields.String(required=True, validate=_check_name)
    rights = fields.Enum(Rights, by_value=True, load_default=Rights.UNKNOWN)
    contract_id = fields.Integer(load_default=None)


class DeliverySchema(Schema):
    """A delivery."""

    id = fields.Integer()
    supplier = fields.String()
    name = fields.String()
    rights = fields.Enum(Rights, by_value=True)
    contract_id = fields.Integer(allow_none=True)
    step = fields.Enum(Step, by_value=True)
    created_at = Moment()


class StepSchema(Schema):
    """A delivery moved on."""

    at = Moment()
    step = fields.Enum(Step, by_value=True)
    worker_id = fields.Integer(allow_none=True)
    why = fields.String()


class ReasonCountSchema(Schema):
    """How many files of a delivery have such a finding, and what it does."""

    code = fields.String()
    action = fields.Enum(Action, by_value=True)
    files = fields.Integer()


class ReportSchema(Schema):
    """What became of a delivery's files."""

    files = fields.Integer()
    taken = fields.Integer()
    held = fields.Integer()
    refused = fields.Integer()
    known = fields.Integer(
        metadata={"description": "Brought by an earlier delivery, where they are told of."}
    )
    withdrawn = fields.Integer()
    pending = fields.Integer(metadata={"description": "Not looked at yet; they count as taken or held."})
    reasons = fields.List(fields.Nested(ReasonCountSchema))


class DeliveryDetailSchema(DeliverySchema):
    """A delivery with its steps and its report."""

    steps = fields.List(fields.Nested(StepSchema))
    report = fields.Nested(ReportSchema)


class TakenFileSchema(Schema):
    """What was decided about one file; `image_id` is null for one that did not become an image."""

    file = fields.String()
    image_id = fields.Integer(allow_none=True)
    state = fields.String(metadata={"description": "`taken`, `held`, `refused`, or `pending`."})
    known = fields.Boolean(metadata={"description": "It had been handed in before under this name."})
    findings = fields.List(fields.Nested(FindingSchema))


class TakenFilesSchema(Schema):
    """What was decided about the files of one upload: one, or the members of a zip."""

    files = fields.List(fields.Nested(TakenFileSchema))


class DeliveryImageArgs(PageArgs):
    """The list of a delivery's images."""

    state = fields.String(load_default=None, validate=validate.OneOf(list(STATES_TOLD)))
    code = fields.String(
        load_default=None,
        validate=validate.Length(1, 40),
        metadata={"description": "Only images with such a finding."},
    )


class DeliveryImageSchema(Schema):
    """An image of a delivery, as its supplier sees it."""

    id = fields.Integer()
    file_name = fields.String()
    path = fields.String(metadata={"description": "The file's name with the folders before it."})
    state = fields.String()
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    url = fields.String(
        allow_none=True,
        metadata={"description": "The working image; null for suppliers, and until it is made."},
    )
    findings = fields.List(fields.Nested(FindingSchema))


class MoveSchema(Schema):
    """The next step of a delivery."""

    step = fields.Enum(Step, by_value=True, required=True)
    reason = remark(LONGEST_REASON)


class SettleSchema(Schema):
    """The contract that a delivery's held images come under."""

    contract_id = fields.Integer(required=True)
    reason = remark(LONGEST_REASON)


class SettledImageSchema(Schema):
    """How many images went to work."""

    released = fields.Integer()


class DeliveryListArgs(PageArgs):
    """The list of deliveries."""
