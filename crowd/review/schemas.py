"""What talk about a task looks like over HTTP."""

from marshmallow import fields

from crowd.core.http import Cursor, Moment, Schema, said
from crowd.policy import Stage


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


class NewImageCommentSchema(NewCommentSchema):
    """Something to say about the work of a stage of an image."""

    stage = fields.Enum(Stage, by_value=True, required=True)


class ImageCommentSchema(Schema):
    """Something said about an image: at which stage and in which round; names are for admins."""

    stage = fields.Enum(Stage, by_value=True)
    round = fields.Integer()
    text = fields.String()
    at = Moment()
    own = fields.Boolean()
    who = fields.String(allow_none=True)


class ThreadArgs(Schema):
    """The query of one's own threads: where to go on."""

    cursor = Cursor(
        int, load_default=None, metadata={"type": "string", "description": "The last answer's next_cursor."}
    )


class OwnThreadSchema(Schema):
    """What others said about a task one held: how much, and what last."""

    task_id = fields.Integer()
    image_id = fields.Integer()
    stage = fields.Enum(Stage, by_value=True)
    round = fields.Integer()
    said = fields.Integer()
    text = fields.String()
    at = Moment()
