"""What people take from candidates: noted with each answer, added up as it comes, told by model.

Called by the engine in the transaction of the answer. A sum is its base plus the deltas not folded into it
yet, like the figures of `docs/decisions/0005-counters.md`: nobody waits to add to it, nothing is scanned.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core import sums
from crowd.core.db import AnyRow, Database
from crowd.core.folding import FOLD_BATCH, fold_all
from crowd.ml.models import (
    SUMMED,
    Candidates,
    CandidateUse,
    Model,
    Serving,
    Showing,
    Taking,
    UseDelta,
    UseSum,
)
from crowd.ml.serving import Shelf
from crowd.ml.taking import Comparison, compare
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING
from crowd.tasks.models import Task, TaskState

_SHOWN = (
    sa.select(Showing.model_id, Showing.withheld, Candidates.value)
    .join_from(
        Showing,
        Candidates,
        sa.and_(Candidates.task_id == Showing.task_id, Candidates.model_id == Showing.model_id),
    )
    .where(
        Showing.task_id == sa.bindparam("of_task", type_=Showing.task_id.type),
        Showing.token == sa.bindparam("with_token", type_=Showing.token.type),
    )
)
_ADD_USE = sa.insert(CandidateUse)
_ADD_DELTA = sa.insert(UseDelta)


@dataclass(frozen=True, slots=True)
class Observer:
    """Notes what answers took from candidates, and what became of the answers."""

    shelf: Shelf

    def answered(
        self,
        conn: Connection,
        task: AnyRow,
        token: int,
        labels: Mapping[str, Any] | None,
        seconds: float | None,
        now: datetime,
    ) -> None:
        """An answer counts. `labels`: the checked result, None when it was sent back or is unusable."""
        if task.stage not in LABELLING or self.shelf.of(conn, task.stage) is None:
            return
        shown = conn.execute(_SHOWN, {"of_task": task.id, "with_token": token}).one_or_none()
        if shown is None:
            return
        comparison = None if labels is None else compare(task.stage, shown.value, labels)
        use = {
            "task_id": task.id,
            "token": token,
            "model_id": shown.model_id,
            "withheld": shown.withheld,
            "taking": _taking(comparison),
            "proposed": comparison.proposed if comparison else 0,
            "kept": comparison.kept if comparison else 0,
            "edit": comparison.edit if comparison else None,
            "detail": comparison.detail if comparison else None,
            "seconds": seconds,
            "at": now,
        }
        conn.execute(_ADD_USE, use)
        if comparison is not None:
            conn.execute(_ADD_DELTA, _delta(use))

    def bounced(self, conn: Connection, image_id: int, target: Stage) -> None:
        """The latest answer of the image at `target` was sent back."""
        if target not in LABELLING or self.shelf.of(conn, target) is None:
            return
        latest = (
            sa.select(Task.id)
            .where(Task.image_id == image_id, Task.stage == target, Task.state == TaskState.DONE)
            .order_by(Task.round.desc(), Task.seat.desc())
            .limit(1)
            .scalar_subquery()
        )
        used = conn.execute(
            sa.select(CandidateUse.model_id, CandidateUse.withheld).where(
                CandidateUse.task_id == latest, CandidateUse.taking != Taking.NO_LABELS
            )
        ).first()
        if used is not None:
            zeros = dict.fromkeys(SUMMED, 0)
            of = {"model_id": used.model_id, "withheld": used.withheld}
            conn.execute(_ADD_DELTA, {**zeros, **of, "bounced": 1})


def _taking(comparison: Comparison | None) -> Taking:
    if comparison is None:
        return Taking.NO_LABELS
    if comparison.is_same:
        return Taking.AS_IS
    return Taking.CHANGED if comparison.kept else Taking.REPLACED


def _delta(use: Mapping[str, Any]) -> dict[str, Any]:
    seconds = use["seconds"]
    return {
        "model_id": use["model_id"],
        "withheld": use["withheld"],
        "answers": 1,
        "as_is": int(use["taking"] is Taking.AS_IS),
        "replaced": int(use["taking"] is Taking.REPLACED),
        "proposed": use["proposed"],
        "kept": use["kept"],
        "edit": use["edit"],
        "bounced": 0,
        "timed": int(seconds is not None),
        "seconds": seconds or 0.0,
        "seconds_squared": (seconds or 0.0) ** 2,
    }


def fold(db: Database, batch: int = FOLD_BATCH) -> int:
    """Move what has been committed so far into the bases. Returns how many deltas that were.

    Any number of processes may do this at once: deltas that another one is folding are passed over.
    """
    return fold_all(db, _fold_batch, batch)


def _fold_batch(conn: Connection, batch: int) -> int:
    oldest = sa.select(*UseDelta.__table__.columns).order_by(UseDelta.id).limit(batch)
    deltas = conn.execute(oldest.with_for_update(skip_locked=True)).all()
    if not deltas:
        return 0
    conn.execute(sa.delete(UseDelta).where(UseDelta.id.in_([delta.id for delta in deltas])))
    totals: dict[tuple[int, bool], dict[str, float]] = {}
    for delta in deltas:
        total = totals.setdefault((delta.model_id, delta.withheld), dict.fromkeys(SUMMED, 0))
        for name in SUMMED:
            total[name] += getattr(delta, name)
    sums.add(conn, UseSum, totals)
    return len(deltas)


def figures(conn: Connection) -> list[dict[str, Any]]:
    """What each model's candidates did, newest model first within its stage.

    One entry a model: `shown` and `withheld` (see `_side`), `faster` (the share of time saved, with its
    standard error), `bias` (how much more often answers agree with the model when they were shown it).
    """
    kept = sa.union_all(
        *(
            sa.select(table.model_id, table.withheld, *(getattr(table, name) for name in SUMMED))
            for table in (UseSum, UseDelta)
        )
    ).subquery()
    sums = sa.select(
        kept.c.model_id, kept.c.withheld, *(sa.func.sum(kept.c[name]).label(name) for name in SUMMED)
    ).group_by(kept.c.model_id, kept.c.withheld)
    found = {(row.model_id, row.withheld): row for row in conn.execute(sums)}
    models = conn.execute(
        sa.select(Model.id, Model.stage, Model.name, Model.version, Serving.model_id.label("serving_id"))
        .join_from(Model, Serving, Serving.stage == Model.stage)
        .where(sa.or_(Model.id.in_({model_id for model_id, _ in found}), Model.id == Serving.model_id))
        .order_by(Model.stage, Model.id.desc())
    ).all()
    return [_entry(model, found.get((model.id, False)), found.get((model.id, True))) for model in models]


def _entry(model: AnyRow, shown_row: AnyRow | None, withheld_row: AnyRow | None) -> dict[str, Any]:
    shown, withheld = _side(shown_row), _side(withheld_row)
    return {
        "stage": model.stage,
        "model_id": model.id,
        "model": f"{model.name}@{model.version}",
        "serving": model.serving_id == model.id,
        "shown": shown,
        "withheld": withheld,
        **_faster(shown, withheld),
        "bias": _difference(shown["agreement"], withheld["agreement"]),
    }


def _side(row: AnyRow | None) -> dict[str, Any]:
    """Rates of one side: null where there is nothing to divide by."""
    sums: dict[str, float] = dict.fromkeys(SUMMED, 0)
    if row is not None:
        # PostgreSQL adds bigints up to a Decimal.
        sums = {name: float(getattr(row, name)) for name in SUMMED}
    answers, timed = sums["answers"], sums["timed"]
    mean = _share(sums["seconds"], timed)
    spread = None
    if mean is not None and timed > 1:
        variance = max(0.0, (sums["seconds_squared"] - timed * mean**2) / (timed - 1))
        spread = math.sqrt(variance / timed)
    return {
        "answers": int(answers),
        "accepted": _share(sums["as_is"], answers),
        "replaced": _share(sums["replaced"], answers),
        "agreement": _share(sums["kept"], sums["proposed"]),
        "edit": _share(sums["edit"], answers),
        "bounced": _share(sums["bounced"], answers),
        "seconds": mean,
        "seconds_error": spread,
    }


def _faster(shown: Mapping[str, Any], withheld: Mapping[str, Any]) -> dict[str, float | None]:
    with_, without = shown["seconds"], withheld["seconds"]
    if with_ is None or not without:
        return {"faster": None, "faster_error": None}
    errors: Sequence[float | None] = (shown["seconds_error"], withheld["seconds_error"])
    error = None
    if with_ and errors[0] is not None and errors[1] is not None:
        error = with_ / without * math.hypot(errors[0] / with_, errors[1] / without)
    return {"faster": 1 - with_ / without, "faster_error": error}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
