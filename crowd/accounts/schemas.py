"""What goes over the wire about people."""

from typing import Any

from marshmallow import fields, post_dump, validate

from crowd.accounts.models import AccountKind
from crowd.accounts.names import LONGEST_PASSWORD
from crowd.core.http import Moment, Schema
from crowd.policy import Grade, Stage

# Beyond what any name or password can be, a login is refused before it costs a hash.
LONGEST_LOGIN_WORD = 256


class LoginSchema(Schema):
    """A login; whether the words could exist at all is not told."""

    username = fields.String(required=True, validate=validate.Length(1, LONGEST_LOGIN_WORD))
    password = fields.String(required=True, validate=validate.Length(1, LONGEST_LOGIN_WORD))


class PersonBriefSchema(Schema):
    """Who somebody is."""

    id = fields.Integer()
    username = fields.String()
    grade = fields.Enum(Grade, by_value=True)


class MeSchema(PersonBriefSchema):
    """Oneself; the rooms above add sections of their own, such as the leases one holds."""

    suspended = fields.Boolean()
    kind = fields.Enum(AccountKind, by_value=True)
    stages = fields.List(fields.Enum(Stage, by_value=True))

    @post_dump(pass_original=True)
    def add_sections(self, data: dict[str, Any], original: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The fields above, and every section, which is ready for JSON already."""
        return {**data, **original["sections"]}


class PasswordChangeSchema(Schema):
    """The old password, and the new one."""

    old = fields.String(required=True, validate=validate.Length(1, LONGEST_LOGIN_WORD))
    new = fields.String(required=True, validate=validate.Length(max=LONGEST_PASSWORD))


class TokenSchema(Schema):
    """An API token, without the token."""

    id = fields.Integer()
    created_at = Moment()


class NewTokenSchema(Schema):
    """An API token, shown this once."""

    id = fields.Integer()
    token = fields.String()
