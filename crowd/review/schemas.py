"""What talk about a task looks like over HTTP."""

from marshmallow import fields

from crowd.core.http import Moment, Schema, said


class NewCommentSchema(Schema):
    """Something to say about a task."""

    text = said(4000)


class CommentSchema(Schema):
    """Something said; `own` tells one's own words, names are for admins."""

    id = fields.Integer()
    text = fields.String()
    at = Moment()
    own = fields.Boolean()
    who = fields.String(allow_none=True)
