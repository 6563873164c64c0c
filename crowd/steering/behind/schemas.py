"""What goes over the wire about the images behind a figure."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from crowd.core.http import Moment, PageArgs, Schema
from crowd.images.models import ImageState
from crowd.steering.behind.queries import STANDING, Behind
from crowd.steering.schemas import stage_field

# What narrows one figure alone; with another one it would be passed over in silence.
_NARROWS = {"code": Behind.BOUNCED, "style": Behind.STYLED}


class BehindArgs(PageArgs):
    """Which figure, and which part of it."""

    figure = fields.Enum(
        Behind,
        by_value=True,
        required=True,
        metadata={"description": "Tasks as they stand; answers; what happened; a main style (accepted)."},
    )
    stage = stage_field(load_default=None)
    code = fields.String(load_default=None, metadata={"description": "A reason that bounces gave."})
    style = fields.String(load_default=None, metadata={"description": "The main style."})
    since = fields.Date(load_default=None, metadata={"description": "The first day that counts (UTC)."})
    until = fields.Date(load_default=None, metadata={"description": "The last day that counts."})

    @ma.validates_schema
    def _check(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("figure") in STANDING and not data.get("stage"):
            raise ma.ValidationError("must be given for this figure", "stage")
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            raise ma.ValidationError("must not be before since", "until")
        for name, figure in _NARROWS.items():
            if data.get(name) and data.get("figure") not in (figure, None):
                raise ma.ValidationError(f"narrows the figure {figure.value} alone", name)
        for name in ("since", "until"):
            if data.get(name) and data.get("figure") in STANDING:
                raise ma.ValidationError("does not narrow tasks as they stand", name)


class BehindSchema(Schema):
    """One image behind a figure, and the task, answer, event or label (`id`) that put it there."""

    id = fields.Integer()
    image_id = fields.Integer()
    stage = stage_field(allow_none=True)
    at = Moment()
    state = fields.Enum(ImageState, by_value=True)
