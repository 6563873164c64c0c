"""The watch: reports are kept, labels looked through, and what the figures say becomes alerts."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import field_error
from crowd.ml import queries
from crowd.ml.watch import arrivals, doubts
from crowd.ml.watch.diagnosis import Doubted, Fault, Finding, Point, diagnose, most_to_blame, stand_out
from crowd.ml.watch.models import DoubtSum, ModelReport, QualityAlert
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks import due
from crowd.tasks.taxonomies import shelf

# A group whose new labels go on being doubted is not named again for so long.
QUIET = timedelta(days=7)


NIGHTLY = due.Schedule("watch", every=timedelta(days=1), within=timedelta(hours=1))
# Of the nightly look at each upkeep, which has other things to do.
PORTION_SECONDS = 20.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look came to: models that serve, labels newly doubted, alerts; whether it got through."""

    models: int
    doubted: int
    raised: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Blame:
    """A finding, and whom or what it blames; it is old if the same was raised `since` (None: ever)."""

    finding: Finding
    kind: str
    subject: str
    since: datetime | None


def keep_report(conn: Connection, model: AnyRow, report: Mapping[str, Any], now: datetime) -> int:
    """Keep the curve of a model's kind. Raises Unprocessable for one that is no report of its stage."""
    if report.get("task") != model.stage.value:
        raise field_error("report", f"is of {report.get('task')}, the model of {model.stage}")
    curves_of(report)
    report_id: int = conn.execute(
        sa.insert(ModelReport).values(model_id=model.id, at=now, value=dict(report)).returning(ModelReport.id)
    ).scalar_one()
    return report_id


def reports(conn: Connection, model_id: int, before: int | None, limit: int) -> Sequence[AnyRow]:
    """The reports of a model, newest first."""
    statement = (
        sa.select(*ModelReport.__table__.columns)
        .where(ModelReport.model_id == model_id)
        .order_by(ModelReport.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(ModelReport.id < before)
    return conn.execute(statement).all()


def curves_of(report: Mapping[str, Any]) -> dict[str, list[Point]]:
    """The curves of a report: of the whole under "", and of every subject. Raises Unprocessable."""
    try:
        points = [
            (subject, Point(int(point["images"]), *(_error(point, split, subject) for split in SPLITS)))
            for point in report["points"]
            for subject in ("", *point["test"]["by"])
        ]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise field_error("report", f"is no report of `crowd train … --grow`: {error!r}") from None
    found: dict[str, list[Point]] = defaultdict(list)
    for subject, point in points:
        if not any(math.isnan(value) for value in (point.train, point.validation, point.test)):
            found[subject].append(point)
    return dict(found)


SPLITS = ("train", "validation", "test")


def _error(point: Mapping[str, Any], split: str, subject: str) -> float:
    said = point[split]["by"].get(subject) if subject else point[split]["error"]
    return math.nan if said is None else float(said)


def look(rt: Runtime, now: datetime, seconds: float = math.inf) -> Looked:
    """Look through all new labels with the models that serve, then raise what there is to raise.

    After so many `seconds` it ends where it is, and raises nothing yet: the next look goes on from there.
    """
    ending = time.monotonic() + seconds
    with rt.db.read() as conn:
        serving = [row for row in queries.served(conn) if row.model_id is not None]
    doubted = 0
    taxonomy = shelf(rt).present().taxonomy
    for model in serving:
        while True:
            if time.monotonic() >= ending:
                return Looked(len(serving), doubted, 0, ended=False)
            with rt.db.begin() as conn:
                found = doubts.look(conn, model.model_id, model.stage, taxonomy, rt.policy, now)
            if found is None:
                break
            doubted += found
    raised = 0
    for model in serving:
        with rt.db.begin() as conn:
            raised += raise_alerts(conn, model.model_id, model.stage, now)
    return Looked(len(serving), doubted, raised, ended=True)


def look_if_due(rt: Runtime, now: datetime) -> Looked | None:
    """`look` once a day, in portions, however many processes ask; None when it is not due.

    It reads what models have said, and needs none of their packages.
    """
    looked = due.once(rt.db, NIGHTLY, now, lambda: look(rt, now, PORTION_SECONDS))
    if looked is None:
        return None
    if not looked.ended:
        due.hasten(rt.db, NIGHTLY, now)
    log.info("watch_looked", **asdict(looked))
    return looked


def raise_alerts(conn: Connection, model_id: int, stage: Stage, now: datetime) -> int:
    """Raise what the figures of a model say and have not said before. Returns how many.

    A report is diagnosed once, a delivery told of once, and a group by what came since it was last named.
    """
    found = [
        *_of_curves(conn, model_id, stage),
        *_of_doubts(conn, model_id, now),
        *_of_arrivals(conn, model_id),
    ]
    raised = [each for each in found if not _was_raised(conn, model_id, each)]
    for each in raised:
        conn.execute(
            sa.insert(QualityAlert).values(
                at=now,
                fault=each.finding.fault,
                stage=stage,
                model_id=model_id,
                kind=each.kind,
                subject=each.subject[:130],
                detail=each.finding.detail,
                figures=dict(each.finding.figures),
            )
        )
    return len(raised)


def alerts(
    conn: Connection, stage: Stage | None, fault: Fault | None, before: int | None, limit: int
) -> Sequence[AnyRow]:
    """Alerts, newest first."""
    statement = sa.select(*QualityAlert.__table__.columns).order_by(QualityAlert.id.desc()).limit(limit)
    if stage is not None:
        statement = statement.where(QualityAlert.stage == stage)
    if fault is not None:
        statement = statement.where(QualityAlert.fault == fault)
    if before is not None:
        statement = statement.where(QualityAlert.id < before)
    return conn.execute(statement).all()


def doubt_shares(conn: Connection, model_id: int) -> list[dict[str, Any]]:
    """Of every group's labels how many were looked at, and how many are doubted."""
    rows = conn.execute(
        sa.select(DoubtSum.kind, DoubtSum.subject, DoubtSum.looked, DoubtSum.doubted)
        .where(DoubtSum.model_id == model_id)
        .order_by(DoubtSum.kind, DoubtSum.subject)
    )
    return [dict(row._mapping) for row in rows]


def _of_curves(conn: Connection, model_id: int, stage: Stage) -> Iterator[Blame]:
    for row in reports(conn, model_id, None, 1):
        curves = curves_of(row.value)
        subjects = {name: curve for name, curve in curves.items() if name}
        for finding in diagnose(curves.get("", [])):
            subject = most_to_blame(subjects)
            kind = "question" if subject else "stage"
            yield Blame(finding, kind, subject or stage.value, since=row.at)


def _of_doubts(conn: Connection, model_id: int, now: datetime) -> Iterator[Blame]:
    """Each group by its labels since it was last named: what was told once is not told for ever."""
    told = _told_of_groups(conn, model_id)
    by_kind: dict[str, dict[str, Doubted]] = defaultdict(dict)
    for row in doubt_shares(conn, model_id):
        before = told.get((row["kind"], row["subject"][:130]), Doubted(0, 0))
        new = Doubted(row["looked"] - before.looked, row["doubted"] - before.doubted)
        by_kind[row["kind"]][row["subject"]] = new
    for kind, groups in by_kind.items():
        for subject, score in stand_out(groups):
            group = groups[subject]
            before = told.get((kind, subject[:130]), Doubted(0, 0))
            said = f"the model doubts {group.doubted} of {group.looked} labels of {kind} {subject!r}"
            figures = {
                "looked": float(group.looked),
                "doubted": float(group.doubted),
                "z": score,
                "looked_in_all": float(before.looked + group.looked),
                "doubted_in_all": float(before.doubted + group.doubted),
            }
            yield Blame(Finding(Fault.QUALITY, said, figures), kind, subject, since=now - QUIET)


def _told_of_groups(conn: Connection, model_id: int) -> dict[tuple[str, str], Doubted]:
    """The sums of each group when it was last named."""
    last = sa.select(sa.func.max(QualityAlert.id)).where(
        QualityAlert.model_id == model_id, QualityAlert.fault == Fault.QUALITY
    )
    rows = conn.execute(
        sa.select(QualityAlert.kind, QualityAlert.subject, QualityAlert.figures).where(
            QualityAlert.id.in_(last.group_by(QualityAlert.kind, QualityAlert.subject))
        )
    )
    return {
        (row.kind, row.subject): Doubted(int(_in_all(row, "looked")), int(_in_all(row, "doubted")))
        for row in rows
    }


def _in_all(alert: AnyRow, name: str) -> float:
    # Earlier alerts told of all labels there were; those of curves tell of none.
    figures = alert.figures
    return float(figures.get(f"{name}_in_all", figures.get(name, 0.0)))


def _of_arrivals(conn: Connection, model_id: int) -> Iterator[Blame]:
    for delivery, drift in arrivals.deliveries(conn, model_id).items():
        if drift.is_shift:
            said = f"images of {delivery.supplier} in week {delivery.week} differ most in {drift.moved!r}"
            figures = {"index": drift.index, "by_chance": drift.by_chance, "images": float(drift.images)}
            subject = f"{delivery.week} {delivery.supplier}"
            yield Blame(Finding(Fault.DRIFT, said, figures), "supplier week", subject, since=None)


def _was_raised(conn: Connection, model_id: int, blame: Blame) -> bool:
    same = [
        QualityAlert.model_id == model_id,
        QualityAlert.fault == blame.finding.fault,
        QualityAlert.kind == blame.kind,
        QualityAlert.subject == blame.subject[:130],
    ]
    if blame.since is not None:
        same.append(QualityAlert.at >= blame.since)
    return conn.execute(sa.select(QualityAlert.id).where(*same).limit(1)).first() is not None
