"""The watch over quality, over HTTP: for admins. Knows no torch."""

from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import actor, requires_grade
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.http import Blueprint, Page, PageArgs, page, paged
from crowd.ml import queries
from crowd.ml.service import find, title
from crowd.ml.watch import arrivals, doubts, service
from crowd.ml.watch.schemas import (
    AlertArgs,
    AlertSchema,
    DoubtArgs,
    DoubtSchema,
    LabelQualitySchema,
    ModelReportSchema,
    SettleDoubtSchema,
    SettledSchema,
)
from crowd.policy import Grade
from crowd.runtime import runtime

blueprint = Blueprint("watch", __name__, description="The watch over quality.")

admins_only = requires_grade(Grade.ADMIN)


@blueprint.route("/models/<int:model_id>/reports")
@admins_only
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, paged(ModelReportSchema))
def list_reports(query: dict[str, Any], model_id: int) -> Page:
    """The errors of a model's kind as its data grew, newest report first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        find(conn, model_id)
        rows = service.reports(conn, model_id, query["cursor"], limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/stats/quality")
@admins_only
@blueprint.response(200, LabelQualitySchema)
def show_quality() -> dict[str, Any]:
    """By stage: the serving model's last report, whose labels it doubts how often, and what comes in."""
    with runtime().db.read() as conn:
        serving = [row for row in queries.served(conn) if row.model_id is not None]
        return {"items": [_of_stage(conn, row) for row in serving]}


@blueprint.route("/quality/alerts")
@admins_only
@blueprint.arguments(AlertArgs, location="query")
@blueprint.response(200, paged(AlertSchema))
def list_alerts(query: dict[str, Any]) -> Page:
    """What the watch found, newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = service.alerts(conn, query["stage"], query["fault"], query["cursor"], limit + 1)
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/quality/doubts")
@admins_only
@blueprint.arguments(DoubtArgs, location="query")
@blueprint.response(200, paged(DoubtSchema))
def list_doubts(query: dict[str, Any]) -> Page:
    """Labels that a model doubts and nobody has decided about, newest first."""
    limit = query["limit"]
    with runtime().db.read() as conn:
        rows = doubts.doubted(
            conn, query["stage"], query["question"], query["least_margin"], query["cursor"], limit + 1
        )
    return page(rows, limit, lambda row: row.id)


@blueprint.route("/quality/doubts/<int:doubt_id>/settle", methods=["POST"])
@admins_only
@blueprint.arguments(SettleDoubtSchema)
@blueprint.response(200, SettledSchema)
def settle_doubt(body: dict[str, Any], doubt_id: int) -> dict[str, Any]:
    """Send the image back to the label's stage, or let the label stand."""
    rt = runtime()
    with rt.db.begin() as conn:
        found = doubts.settle(
            conn,
            actor().id,
            doubt_id,
            sent_back=body["send_back"],
            why=body["reason"],
            policy=rt.policy,
            now=clock.now(),
        )
    return {**found._mapping, "sent_back": body["send_back"]}


def _of_stage(conn: Connection, row: AnyRow) -> dict[str, Any]:
    report = service.reports(conn, row.model_id, None, 1)
    found = arrivals.deliveries(conn, row.model_id)
    return {
        "stage": row.stage,
        "model_id": row.model_id,
        "model": title(row.name, row.version),
        "report": report[0] if report else None,
        "doubts": service.doubt_shares(conn, row.model_id),
        "deliveries": [
            {
                **delivery._asdict(),
                "images": drift.images,
                "index": drift.index,
                "by_chance": drift.by_chance,
                "moved": drift.moved,
                "is_shift": drift.is_shift,
            }
            for delivery, drift in found.items()
        ],
    }
