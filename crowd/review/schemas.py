"""What talk about a task looks like over HTTP."""

from marshmallow import fields, validate

from crowd.core.http import Moment, Schema


class NewCommentSchema(Schema):
    """Something to say about a task."""

    text = fields.String(required=True, validate=validate.Length(1, 4000))


class CommentSchema(Schema):
    """Something said; `own` tells one's own words, names are for admins."""

    id = fields.Integer()
    text = fields.String()
    at = Moment()
    own = fields.Boolean()
    who = fields.String(allow_none=True)
