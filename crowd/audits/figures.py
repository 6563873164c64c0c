"""What an audit found: the rate of wrong images with its bounds, by stage, reviewer and supplier."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import Connection

from crowd.audits import sample_queries as queries
from crowd.audits.models import AuditState
from crowd.audits.sampling import lot_bounds, rate_bounds
from crowd.core.db import AnyRow
from crowd.policy import Stage
from crowd.review.policy import PASSING
from crowd.tasks.flow import LABELLING

_BLAMED = (*LABELLING, Stage.FIRST_REVIEW)
REVIEWS = (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW, Stage.ADJUDICATION)


class By(StrEnum):
    """What a rate is of."""

    LOT = "lot"
    STAGE = "stage"
    REVIEWER = "reviewer"
    SUPPLIER = "supplier"


def summary(found: AnyRow) -> dict[str, Any]:
    """An audit with its rate and the bounds of the whole lot."""
    bounds = lot_bounds(found.lot, found.judged, found.wrong, found.confidence)
    return {
        **found._mapping,
        "verdict": found.state,
        "rate": found.wrong / found.judged if found.judged else None,
        "lower": bounds.lower,
        "upper": bounds.upper,
        "replaced_upper": _untold(found),
        "blocks_releases": found.state is AuditState.FAILED and found.ended_at is None,
    }


def _untold(found: AnyRow) -> float:
    """Of so much of the lot at most nothing is said: images as those of which others took the turn."""
    if not found.replaced:
        return 0.0
    return lot_bounds(found.lot, found.size + found.replaced, found.replaced, found.confidence).upper


def figures(conn: Connection, found: AnyRow) -> list[dict[str, Any]]:
    """The rates: of the lot, of each stage as the one to blame, of each reviewer's images, each supplier's.

    One image may be among several reviewers': of all who had let it through.
    """
    whole = lot_bounds(found.lot, found.judged, found.wrong, found.confidence)
    lot = {"by": By.LOT, "id": None, "name": None, "judged": found.judged, "wrong": found.wrong}
    rate = found.wrong / found.judged if found.judged else None
    return [{**lot, "rate": rate, "lower": whole.lower, "upper": whole.upper}, *_parts(conn, found)]


def _parts(conn: Connection, found: AnyRow) -> Iterator[dict[str, Any]]:
    wrong = queries.wrong_by_stage(conn, found.id)
    for stage in _BLAMED:
        yield _part(By.STAGE, None, stage.value, found.judged, wrong.get(stage, 0), found.confidence)
    for row in queries.by_reviewer(conn, found.id, REVIEWS, PASSING):
        yield _part(By.REVIEWER, row.id, row.name, row.judged, row.wrong, found.confidence)
    for row in queries.by_supplier(conn, found.id):
        yield _part(By.SUPPLIER, row.id, row.name, row.judged, row.wrong, found.confidence)


def _part(
    by: By, part_id: int | None, name: str, judged: int, wrong: int, confidence: float
) -> dict[str, Any]:
    bounds = rate_bounds(judged, wrong, confidence) if judged else None
    return {
        "by": by,
        "id": part_id,
        "name": name,
        "judged": judged,
        "wrong": wrong,
        "rate": wrong / judged if judged else None,
        "lower": bounds.lower if bounds else 0.0,
        "upper": bounds.upper if bounds else 1.0,
    }
