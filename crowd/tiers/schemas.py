"""What goes over the wire about grades and standing."""

from typing import Any

from marshmallow import fields, validate

from crowd.accounts.names import LONGEST_NAME
from crowd.core.http import Moment, PageArgs, Schema, said
from crowd.policy import Grade
from crowd.tiers.models import Standing
from crowd.tiers.service import LONGEST_REASON


class WorkerSchema(Schema):
    """A person, as admins see one."""

    id = fields.Integer()
    username = fields.String()
    grade = fields.Enum(Grade, by_value=True)
    suspended = fields.Boolean()
    erased = fields.Boolean()
    created_at = Moment()


class NewWorkerSchema(Schema):
    """A person to be."""

    # Twice the length: a name may shrink when it is normalised.
    username = fields.String(required=True, validate=validate.Length(1, 2 * LONGEST_NAME))
    grade = fields.Enum(Grade, by_value=True, required=True)


class WelcomeSchema(Schema):
    """A new person, with token and password, shown this once."""

    id = fields.Integer()
    username = fields.String()
    grade = fields.Enum(Grade, by_value=True)
    token = fields.String()
    password = fields.String()


class WorkerPageArgs(PageArgs):
    """The query of the list of people."""

    grade = fields.Enum(Grade, by_value=True, load_default=None)


def reason_field(**options: Any) -> fields.String:
    """Why something is done."""
    return said(LONGEST_REASON, **options)


class ReasonSchema(Schema):
    """Why a person's standing changes."""

    reason = reason_field()


class RegradeSchema(ReasonSchema):
    """The new grade, and why."""

    grade = fields.Enum(Grade, by_value=True, required=True)


class HistorySchema(Schema):
    """One change of a person's standing; `by` is shown to admins, null is the command line."""

    id = fields.Integer()
    at = Moment()
    what = fields.Enum(Standing, by_value=True)
    old_grade = fields.Enum(Grade, by_value=True, allow_none=True)
    new_grade = fields.Enum(Grade, by_value=True)
    by = fields.String(allow_none=True)
    reason = fields.String()
    evidence = fields.Raw(
        allow_none=True,
        metadata={"type": "object", "description": "What a rule went by; shown to admins."},
    )
