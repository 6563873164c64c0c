"""What goes over the wire about the watch over quality."""

from typing import Any

from marshmallow import fields, validate

from crowd.core.http import Moment, PageArgs, Schema, remark
from crowd.ml.watch.diagnosis import Fault
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING


def _stage(**options: Any) -> fields.Enum[Stage]:
    return fields.Enum(Stage, by_value=True, **options)


class ModelReportSchema(Schema):
    """Errors and top-3 accuracy of a model's kind at growing amounts of data."""

    id = fields.Integer()
    model_id = fields.Integer()
    at = Moment()
    value = fields.Dict(metadata={"description": "See docs/watch.md."})


class AlertArgs(PageArgs):
    """Which alerts to list."""

    stage = _stage(load_default=None, validate=validate.OneOf(LABELLING))
    fault = fields.Enum(Fault, by_value=True, load_default=None)


class AlertSchema(Schema):
    """Something the watch found, and whom or what it finds most to blame."""

    id = fields.Integer()
    at = Moment()
    fault = fields.Enum(Fault, by_value=True)
    stage = _stage()
    model_id = fields.Integer()
    kind = fields.String(metadata={"description": "What `subject` is: stage, question, value, supplier, …"})
    subject = fields.String()
    detail = fields.String()
    figures = fields.Dict(keys=fields.String(), values=fields.Float())


class DoubtArgs(PageArgs):
    """Which doubted labels to list."""

    stage = _stage(load_default=None, validate=validate.OneOf(LABELLING))
    question = fields.String(load_default=None, validate=validate.Length(1, 60))
    least_margin = fields.Float(load_default=0.0, validate=validate.Range(0, 1))


class DoubtSchema(Schema):
    """A label that a model doubts."""

    id = fields.Integer()
    model_id = fields.Integer()
    image_id = fields.Integer()
    stage = _stage()
    region = fields.String(metadata={"description": "Empty: the whole image."})
    question = fields.String(metadata={"description": "An attribute's key, or `style`."})
    given = fields.String()
    proposed = fields.String()
    margin = fields.Float(metadata={"description": "How much likelier the model finds what it proposes."})
    worker_id = fields.Integer(allow_none=True)
    at = Moment()


class SettleDoubtSchema(Schema):
    """What becomes of a doubt."""

    send_back = fields.Boolean(
        required=True, metadata={"description": "The image goes back to the label's stage; else it stands."}
    )
    reason = remark(1000)


class SettledSchema(Schema):
    """A doubt that was decided."""

    id = fields.Integer()
    image_id = fields.Integer()
    stage = _stage()
    sent_back = fields.Boolean()


class ShareSchema(Schema):
    """Of a group's labels how many a model looked at, and how many it doubts."""

    kind = fields.String()
    subject = fields.String()
    looked = fields.Integer()
    doubted = fields.Integer()


class ArrivalsSchema(Schema):
    """A supplier's week beside all else that came in, as the serving model sees it."""

    supplier_id = fields.Integer()
    supplier = fields.String()
    week = fields.Integer(metadata={"example": 202647})
    images = fields.Integer()
    index = fields.Float(metadata={"description": "Population stability index; 0.25 and more is a shift."})
    by_chance = fields.Float(metadata={"description": "What chance alone would give at the most."})
    moved = fields.String()
    is_shift = fields.Boolean()


class StageLabelQualitySchema(Schema):
    """What the watch knows of a stage, by the model that serves it."""

    stage = _stage()
    model_id = fields.Integer()
    model = fields.String()
    report = fields.Nested(ModelReportSchema, allow_none=True)
    doubts = fields.List(fields.Nested(ShareSchema))
    deliveries = fields.List(fields.Nested(ArrivalsSchema))


class LabelQualitySchema(Schema):
    """What the watch knows, by stage."""

    items = fields.List(fields.Nested(StageLabelQualitySchema))
