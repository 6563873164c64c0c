"""Figures that are kept, not counted: how many tasks, answers, bounces and images there are.

Triggers append a row to `count_deltas` in the transaction of each change, so no code path can forget one,
and nobody waits for anybody: a counter that two hundred people update would have them queue. Folding
moves deltas into their base now and then; a figure is its base plus the deltas not folded yet, read in one
statement. `docs/decisions/0005-counters.md` says why. It knows neither policy nor people's standing.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from crowd.core import sums
from crowd.core.db import AnyRow, AnySelect, Database, literal
from crowd.core.folding import FOLD_BATCH, fold_all
from crowd.images.models import IMAGE_STATE, STAGE, Image, ImageEvent, ImageState, What
from crowd.policy import Stage
from crowd.tasks import due
from crowd.tasks.models import (
    FIGURE,
    PURPOSE,
    TASK_STATE,
    Count,
    CountCorrection,
    CountDelta,
    DueJob,
    Figure,
    Purpose,
    Standing,
    Submission,
    Task,
    TaskState,
    WorkerCount,
)

log = structlog.get_logger(__name__)

RECONCILE = "reconcile"
RECONCILE_EVERY = timedelta(days=1)
# Whoever has taken the reconciliation and died leaves it to others after this time.
RECONCILE_WITHIN = timedelta(hours=1)

BY_STATE = {
    TaskState.READY: Figure.READY,
    TaskState.ASSIGNED: Figure.READY,
    TaskState.LEASED: Figure.LEASED,
    TaskState.STUCK: Figure.STUCK,
}

Union: TypeAlias = sa.CompoundSelect[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure whose full count differs from what was kept; `worker_id` where it is a person's."""

    figure: Figure
    of: Stage | ImageState
    worker_id: int | None
    kept: int
    counted: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What a person has done at a stage: answers that counted, and how many of them were bounced."""

    done: int = 0
    bounced: int = 0


def kept_rows() -> Union:
    """Rows of figure, code and value whose sums are the figures at the moment of the statement."""
    return sa.union_all(
        sa.select(Count.figure, Count.code, Count.value),
        sa.select(CountDelta.figure, CountDelta.code, CountDelta.change),
    )


def image_counts(conn: Connection) -> dict[ImageState, int]:
    """How many images stand in each state."""
    kept = _kept(conn, Figure.IMAGES)
    return {state: kept[IMAGE_STATE.code(state)] for state in ImageState}


def task_counts(conn: Connection, figure: Figure) -> dict[Stage, int]:
    """A figure by stage. A lease that has run out is still counted as leased."""
    kept = _kept(conn, figure)
    return {stage: kept[STAGE.code(stage)] for stage in Stage}


def _kept(conn: Connection, figure: Figure) -> Counter[int]:
    kept = kept_rows().subquery()
    total = sa.cast(sa.func.sum(kept.c.value), sa.BigInteger)
    rows = conn.execute(sa.select(kept.c.code, total).where(kept.c.figure == figure).group_by(kept.c.code))
    return Counter({row[0]: row[1] for row in rows})


def worker_counts(conn: Connection, worker_id: int) -> dict[Stage, Tally]:
    """What a person has done so far, by stage; only stages with anything to tell."""
    kept = sa.union_all(
        sa.select(WorkerCount.figure, WorkerCount.code, WorkerCount.value).where(
            WorkerCount.worker_id == worker_id
        ),
        sa.select(CountDelta.figure, CountDelta.code, CountDelta.change).where(
            CountDelta.worker_id == worker_id
        ),
    ).subquery()
    total = sa.cast(sa.func.sum(kept.c.value), sa.BigInteger)
    found: dict[Stage, dict[str, int]] = {}
    for figure, code, value in conn.execute(
        sa.select(kept.c.figure, kept.c.code, total).group_by(kept.c.figure, kept.c.code)
    ):
        found.setdefault(list(Stage)[code], {})[figure.value] = value
    return {stage: Tally(**values) for stage, values in found.items() if any(values.values())}


def fold(db: Database, batch: int = FOLD_BATCH) -> int:
    """Move what has been committed so far into the bases. Returns how many deltas that were.

    Any number of processes may do this at once: deltas that another one is folding are passed over.
    """
    return fold_all(db, _fold_batch, batch)


def _fold_batch(conn: Connection, batch: int) -> int:
    oldest = sa.select(*CountDelta.__table__.c).order_by(CountDelta.id).limit(batch)
    deltas = conn.execute(oldest.with_for_update(skip_locked=True)).all()
    conn.execute(sa.delete(CountDelta).where(CountDelta.id.in_([delta.id for delta in deltas])))
    totals: Counter[tuple[Figure, int]] = Counter()
    of_workers: Counter[tuple[int, Figure, int]] = Counter()
    for _, figure, code, worker_id, change in deltas:
        totals[figure, code] += change
        if worker_id is not None:
            of_workers[worker_id, figure, code] += change
    sums.add(conn, Count, {key: {"value": change} for key, change in totals.items()})
    sums.add(conn, WorkerCount, {key: {"value": change} for key, change in of_workers.items()})
    return len(deltas)


def differences(conn: Connection) -> list[Difference]:
    """Every figure whose full count differs from what is kept, in one statement: at one moment.

    It reads every task, answer, event and image, and so takes seconds for millions of them.
    """
    totals = _side_by_side(kept_rows(), sa.union_all(*_counted()), "figure", "code")
    of_workers = _side_by_side(
        sa.union_all(
            sa.select(WorkerCount.worker_id, WorkerCount.figure, WorkerCount.code, WorkerCount.value),
            sa.select(CountDelta.worker_id, CountDelta.figure, CountDelta.code, CountDelta.change).where(
                CountDelta.worker_id.is_not(None)
            ),
        ),
        sa.union_all(*_counted_by_worker()),
        "worker_id",
        "figure",
        "code",
    )
    nobody = sa.cast(sa.null(), sa.BigInteger).label("worker_id")
    columns = ("figure", "code", "kept", "counted")
    both = sa.union_all(
        sa.select(nobody, *(totals.c[name] for name in columns)),
        sa.select(of_workers.c.worker_id, *(of_workers.c[name] for name in columns)),
    )
    rows = conn.execute(both).all()
    return sorted(map(_difference, rows), key=lambda each: (each.worker_id or 0, each.figure, each.of))


def _counted() -> list[AnySelect]:
    tasks = [
        sa.select(literal(figure, FIGURE).label("figure"), _code(Task.stage), sa.func.count())
        .where(Task.state == literal(state, TASK_STATE), Task.purpose == literal(Purpose.WORK, PURPOSE))
        .group_by(Task.stage)
        for state, figure in BY_STATE.items()
    ]
    return [
        *tasks,
        sa.select(literal(Figure.DONE, FIGURE), _code(Submission.stage), sa.func.count())
        .where(Submission.standing == Standing.COUNTED)
        .group_by(Submission.stage),
        sa.select(literal(Figure.BOUNCED, FIGURE), _code(ImageEvent.target), sa.func.count())
        .where(ImageEvent.what == What.BOUNCED, ImageEvent.target.is_not(None))
        .group_by(ImageEvent.target),
        sa.select(literal(Figure.IMAGES, FIGURE), _code(Image.state), sa.func.count()).group_by(Image.state),
    ]


def _counted_by_worker() -> list[AnySelect]:
    return [
        sa.select(
            Submission.worker_id,
            literal(Figure.DONE, FIGURE).label("figure"),
            _code(Submission.stage),
            sa.func.count(),
        )
        .where(Submission.standing == Standing.COUNTED)
        .group_by(Submission.worker_id, Submission.stage),
        sa.select(
            sa.type_coerce(ImageEvent.about_id, sa.BigInteger),
            literal(Figure.BOUNCED, FIGURE),
            _code(ImageEvent.target),
            sa.func.count(),
        )
        .where(
            ImageEvent.what == What.BOUNCED,
            ImageEvent.target.is_not(None),
            ImageEvent.about_id.is_not(None),
        )
        .group_by(ImageEvent.about_id, ImageEvent.target),
    ]


def _code(column: Any) -> sa.ColumnElement[int]:
    return sa.type_coerce(column, sa.SmallInteger).label("code")


def _side_by_side(kept: Union, counted: Union, *keys: str) -> sa.Subquery:
    """Rows of keys, kept and counted where the two sums differ."""
    left, right = kept.subquery(), counted.subquery()
    nothing: sa.ColumnElement[int] = sa.literal_column("0")
    *left_keys, value = left.c
    *right_keys, count = right.c
    both = sa.union_all(
        sa.select(
            *(column.label(key) for key, column in zip(keys, left_keys, strict=True)),
            value.label("kept"),
            nothing.label("counted"),
        ),
        sa.select(*right_keys, nothing, count),
    ).subquery()
    sums = [sa.cast(sa.func.sum(both.c[name]), sa.BigInteger) for name in ("kept", "counted")]
    return (
        sa.select(*(both.c[key] for key in keys), sums[0].label("kept"), sums[1].label("counted"))
        .group_by(*(both.c[key] for key in keys))
        .having(sums[0] != sums[1])
        .subquery()
    )


def _difference(row: AnyRow) -> Difference:
    kinds: type[Stage] | type[ImageState] = ImageState if row.figure is Figure.IMAGES else Stage
    return Difference(row.figure, list(kinds)[row.code], row.worker_id, row.kept, row.counted)


def reconcile(db: Database, now: datetime) -> list[Difference]:
    """Count for real, and report and correct every figure that differs. Returns what was corrected.

    Each difference becomes a line of the log and a row of `count_corrections`, which stays.
    """
    with db.read() as conn:
        if not differences(conn):
            return []
    with db.begin() as conn:
        # One at a time, and each looks again: two that saw the same difference would correct it twice.
        _lock(conn, now)
        found = differences(conn)
        _record(conn, found, now)
        _correct(conn, found)
    for each in found:
        log.error(
            "count_corrected",
            figure=each.figure.value,
            of=each.of.value,
            worker=each.worker_id,
            kept=each.kept,
            counted=each.counted,
        )
    return found


def _record(conn: Connection, found: Iterable[Difference], now: datetime) -> None:
    for each in found:
        row = {
            "at": now,
            "figure": each.figure,
            "code": _code_of(each.of),
            "worker_id": each.worker_id,
            "kept": each.kept,
            "counted": each.counted,
        }
        conn.execute(sa.insert(CountCorrection).values(row))


def _correct(conn: Connection, found: Iterable[Difference]) -> None:
    """As deltas, so that what others do meanwhile adds up with it."""
    changes: Counter[tuple[Figure, int, int | None]] = Counter()
    for each in found:
        change = each.counted - each.kept
        key = (each.figure, _code_of(each.of))
        changes[*key, each.worker_id] += change
        if each.worker_id is not None:
            # A person's delta counts for the stage as well; the stage's own difference says what it lacks.
            changes[*key, None] -= change
    for (figure, code, worker_id), change in changes.items():
        if change:
            row = {"figure": figure, "code": code, "worker_id": worker_id, "change": change}
            conn.execute(sa.insert(CountDelta).values(row))


def _code_of(of: Stage | ImageState) -> int:
    return STAGE.code(of) if isinstance(of, Stage) else IMAGE_STATE.code(of)


def reconcile_if_due(db: Database, now: datetime) -> list[Difference] | None:
    """`reconcile` once a day, however many processes ask; None when it is not due."""
    schedule = due.Schedule(RECONCILE, every=RECONCILE_EVERY, within=RECONCILE_WITHIN)
    return due.once(db, schedule, now, lambda: reconcile(db, now))


def _lock(conn: Connection, now: datetime) -> None:
    due.know(conn, RECONCILE, now)
    conn.execute(sa.select(DueJob.name).where(DueJob.name == RECONCILE).with_for_update())
