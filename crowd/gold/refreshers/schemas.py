"""What goes over the wire about refreshers."""

from marshmallow import fields

from crowd.core.http import Moment, PageArgs, Schema
from crowd.policy import Stage


class RefresherPageArgs(PageArgs):
    """The query of the list of refreshers."""

    worker = fields.Integer(load_default=None, metadata={"description": "The id of a person."})


class RefresherSchema(Schema):
    """Practice offered to somebody; `why` holds the figures that spoke for it."""

    id = fields.Integer()
    worker_id = fields.Integer()
    username = fields.String()
    stage = fields.Enum(Stage, by_value=True)
    items = fields.Integer(metadata={"description": "Practice tasks until it is done."})
    why = fields.Dict(keys=fields.String(), values=fields.Float())
    offered_at = Moment()
    done_at = Moment(allow_none=True)
