"""What goes over the wire about figures, plans and notices."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from crowd.accounts.models import GroupKind
from crowd.core.http import Cursor, Moment, PageArgs, Schema, remark, said
from crowd.policy import Grade, Stage
from crowd.steering.figures import By
from crowd.steering.models import Basis

JSON, CSV = "json", "csv"


def stage_field(**options: Any) -> fields.Enum[Stage]:
    """A stage by its name."""
    return fields.Enum(Stage, by_value=True, **options)


def _rate(description: str) -> fields.Float:
    return fields.Float(allow_none=True, metadata={"description": description})


def _target() -> fields.Integer:
    about = "accepted images that there are to be; null where none is set, and for some days or a stage alone"
    return fields.Integer(allow_none=True, metadata={"description": about})


class _Asked(ma.Schema):
    since = fields.Date(load_default=None, metadata={"description": "The first day that counts (UTC)."})
    until = fields.Date(load_default=None, metadata={"description": "The last day that counts."})
    format = fields.String(load_default=None, validate=validate.OneOf([JSON, CSV]))

    @ma.validates_schema
    def _check_order(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            raise ma.ValidationError("must not be before since", "until")


class FigureArgs(_Asked, Schema):
    """Which days, and of whom."""

    stage = stage_field(load_default=None)
    worker = fields.Integer(load_default=None)
    group = fields.Integer(load_default=None, metadata={"description": "0: people in no group."})
    supplier = fields.Integer(load_default=None)


def by_field() -> fields.Enum[By]:
    """What rows are told apart by."""
    about = "each row's `key`: an id, a style, an ISO week"
    return fields.Enum(By, by_value=True, load_default=None, metadata={"description": about})


class ErrorArgs(FigureArgs):
    """Which days, and of whom; told apart by what."""

    style = fields.String(load_default=None, metadata={"description": "the image's main style then"})
    by = by_field()


class AgreementArgs(_Asked, Schema):
    """Which days, what stage, and whose answers against those of others; told apart by what."""

    stage = stage_field(load_default=None)
    worker = fields.Integer(load_default=None)
    group = fields.Integer(load_default=None, metadata={"description": "0: people in no group."})
    supplier = fields.Integer(load_default=None)
    style = fields.String(load_default=None, metadata={"description": "whether both name it"})
    by = by_field()

    @ma.validates_schema
    def _check_together(self, data: dict[str, Any], **kwargs: Any) -> None:
        of_people = data.get("by") in (By.WORKER, By.GROUP) or any(
            data.get(name) is not None for name in ("worker", "group")
        )
        if of_people and (data.get("supplier") is not None or data.get("by") is By.SUPPLIER):
            field = "supplier" if data.get("supplier") is not None else "by"
            raise ma.ValidationError("agreement is kept by people or by supplier, not by both", field)


class FormatArgs(Schema):
    """JSON, or a table."""

    format = fields.String(load_default=None, validate=validate.OneOf([JSON, CSV]))


class DayArgs(_Asked, Schema):
    """Which days."""


class PagedFigureArgs(FigureArgs, PageArgs):
    """The same, page by page."""


class FixArgs(_Asked, PageArgs):
    """Which days, what stage, and who fixed or was fixed."""

    cursor = Cursor(int, int, int, load_default=None, metadata={"type": "string"})
    stage = stage_field(load_default=None)
    worker = fields.Integer(load_default=None)
    group = fields.Integer(load_default=None, metadata={"description": "of who fixed or was fixed"})
    supplier = fields.Integer(load_default=None)


class WorkSchema(Schema):
    """Sums over answers, and what they come to; a rate is null where there is nothing to divide by."""

    answers = fields.Integer()
    days = fields.Integer(metadata={"description": "on which there were any"})
    per_day = _rate("answers on such a day")
    per_hour = _rate("answers in an hour of work, of those that told their seconds")
    seconds = _rate("for one answer")
    bounced = fields.Integer(metadata={"description": "answers of these days that were bounced since"})
    error_rate = _rate("bounced of all answers")
    sent_back = fields.Integer(metadata={"description": "pre-checks that said no"})
    unusable = fields.Integer()
    passed = fields.Integer(metadata={"description": "verdicts of 4 and 5"})
    rejected = fields.Integer(metadata={"description": "verdicts of 1 to 3"})
    missed = fields.Integer(metadata={"description": "first reviews that passed what was bounced later"})
    fixed = fields.Integer(metadata={"description": "answers that corrected a bounced one"})
    compared = fields.Integer(metadata={"description": "pairs with somebody's independent answer"})
    agreement = _rate("mean likeness of these pairs, 0 to 1")
    revised = fields.Integer(metadata={"description": "answers that somebody else confirmed or corrected"})
    kept = _rate("how much of these was kept, 0 to 1")


class WorkerFiguresSchema(WorkSchema):
    """What one person did."""

    worker_id = fields.Integer()
    username = fields.String()
    grade = fields.Enum(Grade, by_value=True)


class ReviewerFiguresSchema(WorkerFiguresSchema):
    """What one reviewer did."""

    kappa = _rate("quadratic, against whoever judged the same image")
    pairs = fields.Float()


class GroupFiguresSchema(WorkSchema):
    """What a group's members did while they were members."""

    group_id = fields.Integer(metadata={"description": "0: people in no group"})
    name = fields.String(allow_none=True)
    kind = fields.Enum(GroupKind, by_value=True, allow_none=True)
    workers = fields.Integer()


class StageFiguresSchema(WorkSchema):
    """What was done at a stage."""

    stage = stage_field()


class WeekFiguresSchema(WorkSchema):
    """What was done in an ISO week."""

    week = fields.String(metadata={"example": "2026-W10"})
    starts_on = fields.Date()
    accepted = fields.Integer(allow_none=True, metadata={"description": "images, less those taken back"})


class SupplierFiguresSchema(WorkSchema):
    """What became of a supplier's images."""

    supplier_id = fields.Integer()
    name = fields.String()
    uploaded = fields.Integer()
    accepted = fields.Integer()
    held = fields.Integer()
    refused = fields.Integer()
    withdrawn = fields.Integer()
    reopened = fields.Integer()
    target = _target()
    reached = _rate("of the target")


class StyleFiguresSchema(Schema):
    """What experts made of a style."""

    style = fields.String()
    named = fields.Integer()
    main = fields.Integer()
    unsure = fields.Integer()
    agreed = fields.Integer(metadata={"description": "pairs of experts that both name it"})
    disagreed = fields.Integer(metadata={"description": "pairs of which one does"})
    bounced = fields.Integer()
    added = fields.Integer(metadata={"description": "by corrections"})
    removed = fields.Integer()
    accepted = fields.Integer(metadata={"description": "images whose main style it is"})
    target = _target()
    reached = _rate("of the target")
    unsure_rate = _rate("of the answers that name it")
    agreement = _rate("agreed of all such pairs")
    error_rate = _rate("of the answers that name it")


class ErrorFiguresSchema(Schema):
    """How often bounces gave a reason."""

    key = fields.String(metadata={"description": "with `by`: what the row is of"})
    stage = stage_field(metadata={"description": "whose answer they reject"})
    code = fields.String()
    bounces = fields.Integer()
    share = _rate("of all, or of all with this key")


class FixFiguresSchema(Schema):
    """Who corrected whose answers."""

    fixer_id = fields.Integer()
    fixer = fields.String()
    author_id = fields.Integer()
    author = fields.String()
    stage = stage_field()
    fixed = fields.Integer()
    changed = fields.Integer(metadata={"description": "those that came out differently"})


class AgreementSchema(Schema):
    """How far people agree on a question."""

    key = fields.String(metadata={"description": "with `by`: what the row is of"})
    stage = stage_field()
    basis = fields.Enum(Basis, by_value=True)
    variable = fields.String(metadata={"description": "score, styles, styles:NAME, regions, or an attribute"})
    pairs = fields.Float(metadata={"description": "a question with m answers counts m / 2"})
    equal = _rate("of the pairs")
    kappa = _rate("Cohen's; quadratic for scores")
    ac1 = _rate("Gwet's")
    alpha = _rate("Krippendorff's; ordinal for scores, MASI for styles")
    iou = _rate("mean, of regions")


def listed(item: type[ma.Schema], *, is_paged: bool = False) -> type[ma.Schema]:
    """The schema of a list of figures; `waiting`: how much of the history is not in them yet."""
    parts: dict[str, Any] = {"items": fields.List(fields.Nested(item)), "waiting": fields.Integer()}
    if is_paged:
        parts["next_cursor"] = fields.String(allow_none=True)
    return Schema.from_dict(parts, name=item.__name__.removesuffix("Schema") + "List")


class PlanSchema(Schema):
    """What a stage is to reach, and who is in charge."""

    starts_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)
    volume = fields.Integer(required=True, strict=True, validate=validate.Range(1, 10**12))
    person_id = fields.Integer(
        load_default=None,
        allow_none=True,
        data_key="person",
        metadata={"description": "The id of whoever is in charge."},
    )
    reason = remark(1000)

    @ma.validates_schema
    def _check_order(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["starts_on"] > data["ends_on"]:
            raise ma.ValidationError("must not be before starts_on", "ends_on")


class PlanEndSchema(Schema):
    """Why there is no plan any more."""

    reason = said(1000)


class PlanVersionSchema(Schema):
    """A plan as it was made; without dates: the plan was dropped."""

    id = fields.Integer()
    stage = stage_field()
    starts_on = fields.Date(allow_none=True)
    ends_on = fields.Date(allow_none=True)
    volume = fields.Integer(allow_none=True)
    person_id = fields.Integer(allow_none=True)
    person = fields.String(allow_none=True)
    made_at = Moment()
    made_by = fields.String()
    reason = fields.String()


class PlanFiguresSchema(Schema):
    """A plan against what was done."""

    stage = stage_field()
    starts_on = fields.Date()
    ends_on = fields.Date()
    person_id = fields.Integer(allow_none=True)
    person = fields.String(allow_none=True)
    volume = fields.Integer()
    done = fields.Integer(metadata={"description": "answers since starts_on, today's too"})
    due = fields.Integer(metadata={"description": "by the end of today, were every day the same"})
    ahead = fields.Integer(metadata={"description": "done less due; below 0: behind"})
    per_day = _rate("answers a day over the last seven days of the plan's time")
    needed_per_day = _rate("from tomorrow on, to reach the volume in time; null when there is no time left")
    expected_on = fields.Date(allow_none=True, metadata={"description": "when it is reached at that pace"})


class NewNoticeSchema(Schema):
    """Something to tell people: those of the grade, the stage and the group given; without any, everybody."""

    title = said(200)
    text = said(5000)
    grade = fields.Enum(Grade, by_value=True, load_default=None, allow_none=True)
    stage = stage_field(load_default=None, allow_none=True)
    group_id = fields.Integer(load_default=None, allow_none=True, data_key="group")
    expires_at = Moment(load_default=None, allow_none=True)


class NoticeSchema(Schema):
    """A notice as the person it is for sees it."""

    id = fields.Integer()
    at = Moment()
    title = fields.String()
    text = fields.String()
    expires_at = Moment()
    read_at = Moment(allow_none=True)


class NoticeArgs(PageArgs):
    """Which notices."""

    unread = fields.Boolean(load_default=False)


class SentNoticeSchema(Schema):
    """A notice as those who steer see it."""

    id = fields.Integer()
    at = Moment()
    by = fields.String()
    title = fields.String()
    text = fields.String()
    grade = fields.Enum(Grade, by_value=True, allow_none=True)
    stage = stage_field(allow_none=True)
    group_id = fields.Integer(allow_none=True)
    expires_at = Moment()
    ended_at = Moment(allow_none=True)
    reads = fields.Integer()


class EndNoticeSchema(Schema):
    """Why a notice is taken back."""

    reason = said(1000)
