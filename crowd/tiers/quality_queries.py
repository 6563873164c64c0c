"""Every SQL statement about evidence, scores and the severity of reviewers."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, AnySelect, literal
from crowd.core.statements import Statement
from crowd.policy import Stage
from crowd.tiers.quality_models import KIND, STAGE, EvidenceRow, ScoreRow, SeverityFit, SeverityRow
from crowd.tiers.score import Evidence, Judge, Kind, Known, Score
from crowd.tiers.severity import Comparison, Pair, Severity

__all__ = ["STAGE", "Standing"]

Key = tuple[int, Stage]

# Both databases' own INSERT, for what is there already.
CHUNK = 2000
# Judged answers that are counted for whom they concern.
MOST_TOLD = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """A score, and the fit of severity that it was reckoned with."""

    fit_id: int | None
    score: Score


_SCORE_FIELDS = tuple(field.name for field in fields(Score))
_SCORE_COLUMNS = tuple(ScoreRow.__table__.c[name] for name in _SCORE_FIELDS)


def _as_driver_gives(column: Any) -> Any:
    """A double as both drivers hand it out; a compiled statement cannot ask SQLAlchemy for more than that."""
    if isinstance(column.type, sa.Float):
        return sa.type_coerce(column, sa.types.NullType()).label(column.key)
    return column


_LOCK = Statement(
    sa.select(ScoreRow.worker_id, ScoreRow.stage, ScoreRow.fit_id, *map(_as_driver_gives, _SCORE_COLUMNS))
    .where(
        ScoreRow.worker_id.in_(sa.bindparam("of_workers", expanding=True)),
        ScoreRow.stage.in_(sa.bindparam("at_stages", expanding=True, type_=STAGE)),
    )
    # Always in this order: two who lock several wait for each other, and never in a ring.
    .order_by(ScoreRow.worker_id, ScoreRow.stage)
    .with_for_update(key_share=True)
)


def lock_scores(conn: Connection, keys: Sequence[Key]) -> dict[Key, Standing]:
    """These scores, locked until the transaction ends. Every person has theirs from the day they joined."""
    found = _locked(conn, keys)
    missing = [key for key in keys if key not in found]
    if missing:
        # Only where the table was wiped and not rebuilt yet.
        rows = [{"worker_id": worker_id, "stage": stage} for worker_id, stage in missing]
        conn.execute(INSERT[conn.dialect.name](ScoreRow).on_conflict_do_nothing(), rows)
        found = _locked(conn, keys)
    return found


def _locked(conn: Connection, keys: Sequence[Key]) -> dict[Key, Standing]:
    of = {
        "of_workers": sorted({worker_id for worker_id, _ in keys}),
        "at_stages": sorted({stage for _, stage in keys}),
    }
    return {(row[0], row[1]): Standing(row[2], Score(*row[3:])) for row in _LOCK.run(conn, of)}


_EVIDENCE_FIELDS = (
    "worker_id",
    "stage",
    "kind",
    "value",
    "weight",
    "opens",
    "score",
    "against",
    "judge_id",
    "task_id",
    "image_id",
    "at",
)


def insert_evidence(conn: Connection, found: Sequence[Evidence]) -> None:
    """Keep evidence for good."""
    rows = [{name: getattr(each, name) for name in _EVIDENCE_FIELDS} for each in found]
    conn.execute(sa.insert(EvidenceRow).inline(), rows)


def insert_cancellation(conn: Connection, row: AnyRow, by: int | None, why: str, at: datetime) -> bool:
    """Keep for good that a piece of evidence counts no more; False when that was so before."""
    insert = INSERT[conn.dialect.name](EvidenceRow).on_conflict_do_nothing()
    of_row = {"worker_id": row.worker_id, "stage": row.stage, "kind": row.kind, "task_id": row.task_id}
    nothing = {"value": 0.0, "weight": 0.0, "opens": False}
    told = {"judge_id": by, "why": why, "at": at, "cancels_id": row.id, "image_id": row.image_id}
    values = of_row | nothing | told
    return conn.execute(insert.values(values).returning(EvidenceRow.id)).first() is not None


def evidence_row(conn: Connection, evidence_id: int) -> AnyRow | None:
    """A piece of evidence, or of taking one out."""
    columns = EvidenceRow.__table__.columns
    return conn.execute(sa.select(*columns).where(EvidenceRow.id == evidence_id)).one_or_none()


def _counts() -> sa.ColumnElement[bool]:
    """It is evidence, and was not taken out."""
    cancelling = sa.alias(EvidenceRow.__table__, "cancelling")
    taken_out = sa.exists(sa.select(cancelling.c.id).where(cancelling.c.cancels_id == EvidenceRow.id))
    return sa.and_(EvidenceRow.cancels_id.is_(None), ~taken_out)


def evidence_of_score(conn: Connection, worker_id: int, stage: Stage) -> Iterator[AnyRow]:
    """All that counts of a person's evidence at a stage, in the order in which it came."""
    columns = [EvidenceRow.__table__.c[name] for name in _EVIDENCE_FIELDS]
    query = (
        sa.select(EvidenceRow.id, *columns)
        .where(EvidenceRow.worker_id == worker_id, EvidenceRow.stage == stage, _counts())
        .order_by(EvidenceRow.id)
        .limit(CHUNK)
    )
    after = 0
    while True:
        rows = conn.execute(query.where(EvidenceRow.id > after)).all()
        yield from rows
        if len(rows) < CHUNK:
            return
        after = rows[-1].id


def standing_about(conn: Connection, task_ids: Collection[int]) -> list[Known]:
    """All that counts of the evidence about the answers to these tasks, in the order in which it came."""
    columns = [EvidenceRow.__table__.c[name] for name in _EVIDENCE_FIELDS]
    query = (
        sa.select(EvidenceRow.id, *columns)
        .where(EvidenceRow.task_id.in_(sorted(task_ids)), _counts())
        .order_by(EvidenceRow.id)
    )
    return [Known(**row._mapping) for row in conn.execute(query)]


def newest_evidence(
    conn: Connection, worker_id: int, stage: Stage, since: datetime | None, limit: int
) -> Sequence[AnyRow]:
    """Up to `limit` of what counts of a person's evidence at a stage, newest first; `since`: only later."""
    query = (
        sa.select(EvidenceRow.value, EvidenceRow.weight)
        .where(EvidenceRow.worker_id == worker_id, EvidenceRow.stage == stage, _counts())
        .where(EvidenceRow.weight > sa.literal_column("0"))
        .order_by(EvidenceRow.id.desc())
        .limit(limit)
    )
    if since is not None:
        query = query.where(EvidenceRow.at > since)
    return conn.execute(query).all()


def told_since(conn: Connection, worker_id: int, stage: Stage, since: datetime, until: datetime) -> int:
    """How many of a person's answers at a stage were judged between two moments, gold apart.

    Of the latest `MOST_TOLD` pieces of evidence: the rule asks for fewer answers than these are about.
    """
    latest = (
        sa.select(EvidenceRow.at)
        .where(EvidenceRow.worker_id == worker_id, EvidenceRow.stage == stage, _counts())
        .where(EvidenceRow.kind != literal(Kind.GOLD, KIND), EvidenceRow.opens)
        .order_by(EvidenceRow.id.desc())
        .limit(MOST_TOLD)
        .subquery()
    )
    return conn.execute(
        sa.select(sa.func.count()).where(latest.c.at > since, latest.c.at < until)
    ).scalar_one()


def latest_gold(
    conn: Connection, worker_id: int, since: datetime | None, limit: int
) -> dict[Stage, list[float]]:
    """By stage a person's `limit` latest values on gold, newest first; `since`: only later ones."""
    # Newer than all that the window holds at any stage.
    query = (
        sa.select(EvidenceRow.stage, EvidenceRow.value)
        .where(EvidenceRow.worker_id == worker_id, EvidenceRow.kind == literal(Kind.GOLD, KIND), _counts())
        .order_by(EvidenceRow.id.desc())
        .limit(limit * len(Stage))
    )
    if since is not None:
        query = query.where(EvidenceRow.at > since)
    found: dict[Stage, list[float]] = {}
    for stage, value in conn.execute(query):
        found.setdefault(stage, []).append(value)
    return {stage: values[:limit] for stage, values in found.items()}


def evidence_page(
    conn: Connection,
    worker_id: int,
    *,
    before: int | None,
    limit: int,
    until: datetime | None = None,
    gold: bool = True,
) -> Sequence[AnyRow]:
    """Up to `limit` pieces of a person's evidence with an id below `before`, newest first.

    `until`: only what came before that moment; without `gold` no gold.
    """
    judge, cancelling = sa.orm.aliased(Worker), sa.orm.aliased(EvidenceRow)
    conditions = [EvidenceRow.worker_id == worker_id]
    if before is not None:
        conditions.append(EvidenceRow.id < before)
    if until is not None:
        conditions.append(EvidenceRow.at < until)
    if not gold:
        conditions.append(EvidenceRow.kind != Kind.GOLD)
    # Stage by stage from the newest end of the index: all of a person's rows at once would have to be sorted,
    # and everybody's, read backwards, may hold none of theirs for millions of rows.
    newest = sa.union_all(
        *(
            sa.select(
                sa.select(EvidenceRow.id)
                .where(*conditions, EvidenceRow.stage == stage)
                .order_by(EvidenceRow.id.desc())
                .limit(limit)
                .subquery()
            )
            for stage in Stage
        )
    )
    query = (
        sa.select(
            *EvidenceRow.__table__.columns,
            judge.username.label("judge"),
            cancelling.id.is_not(None).label("taken_out"),
        )
        .outerjoin(judge, judge.id == EvidenceRow.judge_id)
        .outerjoin(cancelling, cancelling.cancels_id == EvidenceRow.id)
        .where(EvidenceRow.id.in_(newest))
        .order_by(EvidenceRow.id.desc())
        .limit(limit)
    )
    return conn.execute(query).all()


_JUDGES = Statement(
    sa.select(
        SeverityRow.fit_id,
        SeverityRow.reviewer_id,
        _as_driver_gives(SeverityRow.bias),
        _as_driver_gives(SeverityRow.weight),
    ).where(
        SeverityRow.fit_id.in_(sa.bindparam("of_fits", expanding=True)),
        SeverityRow.reviewer_id.in_(sa.bindparam("of_judges", expanding=True)),
    )
)


def judges(
    conn: Connection, fits: Collection[int | None], wanted: Collection[int] | None = None
) -> dict[tuple[int | None, int], Judge]:
    """By fit and id, what these fits say of the `wanted` judges; of all without any."""
    known = sorted(fit for fit in fits if fit is not None)
    if not known:
        return {}
    if wanted is None:
        columns = (SeverityRow.fit_id, SeverityRow.reviewer_id, SeverityRow.bias, SeverityRow.weight)
        rows: Iterable[Any] = conn.execute(sa.select(*columns).where(SeverityRow.fit_id.in_(known)))
    else:
        rows = _JUDGES.run(conn, {"of_fits": known, "of_judges": sorted(wanted)})
    return {(row[0], row[1]): Judge(row[2], row[3]) for row in rows}


def write_scores(conn: Connection, changed: Mapping[Key, Standing], *, unchecked: bool) -> None:
    """Keep scores that the caller has locked; `unchecked` has the rule look at them."""
    if not changed:
        return
    rows = [
        {"worker_id": worker_id, "stage": stage, "fit_id": row.fit_id, "unchecked": unchecked}
        | {name: getattr(row.score, name) for name in _SCORE_FIELDS}
        for (worker_id, stage), row in changed.items()
    ]
    insert = INSERT[conn.dialect.name](ScoreRow)
    names = ("fit_id", "unchecked", *_SCORE_FIELDS)
    conn.execute(
        insert.on_conflict_do_update(
            index_elements=["worker_id", "stage"], set_={name: insert.excluded[name] for name in names}
        ),
        rows,
    )


def scores_of(conn: Connection, worker_id: int) -> dict[Stage, Standing]:
    """A person's scores at the stages where there is evidence."""
    query = (
        sa.select(ScoreRow.stage, ScoreRow.fit_id, *_SCORE_COLUMNS)
        .where(ScoreRow.worker_id == worker_id, ScoreRow.at.is_not(None))
        .order_by(ScoreRow.stage)
    )
    return {row[0]: Standing(row[1], Score(*row[2:])) for row in conn.execute(query)}


def judged_of(conn: Connection, worker_id: int) -> dict[str, int]:
    """How many of a person's answers have been judged, by stage."""
    return {stage.value: each.score.n for stage, each in scores_of(conn, worker_id).items()}


def people(conn: Connection, after: int, limit: int) -> Sequence[int]:
    """The ids of people beyond `after`, in order."""
    return (
        conn.execute(sa.select(Worker.id).where(Worker.id > after).order_by(Worker.id).limit(limit))
        .scalars()
        .all()
    )


def stages_with_evidence(conn: Connection, worker_id: int) -> list[Stage]:
    """Where a person has evidence, or a score from it."""
    of_evidence = sa.select(EvidenceRow.stage).where(EvidenceRow.worker_id == worker_id)
    of_scores = sa.select(ScoreRow.stage).where(ScoreRow.worker_id == worker_id, ScoreRow.at.is_not(None))
    return sorted(set(conn.execute(sa.union(of_evidence, of_scores)).scalars()), key=STAGE.code)


def horizon(conn: Connection) -> int:
    """The id of the newest evidence, below which none will come any more."""
    if conn.dialect.name == "postgresql":
        # Ids are drawn before they are committed: whoever has drawn one is waited for, a moment.
        # Whoever wants to write waits behind us, so we do not wait for long; the next night tries again.
        conn.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        conn.exec_driver_sql("LOCK TABLE evidence IN SHARE MODE")
    newest = conn.execute(sa.select(sa.func.max(EvidenceRow.id))).scalar_one()
    return newest or 0


def insert_fit(conn: Connection, at: datetime, up_to: int, rule: str) -> int:
    """A new fit's id."""
    statement = sa.insert(SeverityFit).values(at=at, up_to=up_to, rule=rule).returning(SeverityFit.id)
    fit_id: int = conn.execute(statement).scalar_one()
    return fit_id


def fits(conn: Connection, fit_ids: Collection[int]) -> Sequence[AnyRow]:
    """These fits."""
    columns = SeverityFit.__table__.columns
    return conn.execute(sa.select(*columns).where(SeverityFit.id.in_(sorted(fit_ids)))).all()


def latest_fit(conn: Connection) -> AnyRow | None:
    """The newest fit."""
    columns = SeverityFit.__table__.columns
    return conn.execute(sa.select(*columns).order_by(SeverityFit.id.desc()).limit(1)).one_or_none()


def reviewed_pairs(conn: Connection, up_to: int) -> list[Pair]:
    """Who was reviewed by whom, how often, with which sum of scores, by all evidence up to that id."""
    query = (
        sa.select(
            EvidenceRow.worker_id,
            EvidenceRow.stage,
            EvidenceRow.judge_id,
            sa.func.count(),
            sa.cast(sa.func.sum(EvidenceRow.score), sa.BigInteger),
        )
        .where(
            EvidenceRow.kind == literal(Kind.REVIEW, KIND),
            EvidenceRow.score.is_not(None),
            EvidenceRow.judge_id.is_not(None),
            _counted_then(up_to),
        )
        .group_by(EvidenceRow.worker_id, EvidenceRow.stage, EvidenceRow.judge_id)
    )
    rows: Iterable[Any] = conn.execute(query)
    return [Pair((row[0], STAGE.code(row[1])), row[2], row[3], row[4]) for row in rows]


def comparisons(conn: Connection, up_to: int) -> dict[int, Comparison]:
    """Each reviewer's scores beside the experts', by all evidence up to that id."""
    x = sa.cast(2 * EvidenceRow.score, sa.BigInteger)
    y = sa.cast(2 * EvidenceRow.against, sa.BigInteger)
    sums = [sa.cast(sa.func.sum(each), sa.BigInteger) for each in (x, y, x * x, y * y, x * y)]
    query = (
        sa.select(EvidenceRow.worker_id, sa.func.count(), *sums)
        .where(EvidenceRow.against.is_not(None), EvidenceRow.score.is_not(None), _counted_then(up_to))
        .group_by(EvidenceRow.worker_id)
    )
    rows: Iterable[Any] = conn.execute(query)
    return {row[0]: Comparison(*row[1:]) for row in rows}


def _counted_then(up_to: int) -> sa.ColumnElement[bool]:
    cancelling = sa.alias(EvidenceRow.__table__, "cancelling")
    taken_out = sa.exists(
        sa.select(cancelling.c.id).where(cancelling.c.cancels_id == EvidenceRow.id, cancelling.c.id <= up_to)
    )
    return sa.and_(EvidenceRow.id <= up_to, EvidenceRow.cancels_id.is_(None), ~taken_out)


def write_severities(conn: Connection, fit_id: int, found: Mapping[int, Severity]) -> None:
    """Keep what a fit found, in place of what was kept of it before."""
    conn.execute(sa.delete(SeverityRow).where(SeverityRow.fit_id == fit_id))
    names = [field.name for field in fields(Severity)]
    rows = [
        {"fit_id": fit_id, "reviewer_id": one} | {name: getattr(each, name) for name in names}
        for one, each in found.items()
    ]
    if rows:
        conn.execute(sa.insert(SeverityRow), rows)


def forget_severities(conn: Connection, before: int) -> None:
    """Remove what fits before that one found, if no score goes by them."""
    used = sa.exists(sa.select(ScoreRow.worker_id).where(ScoreRow.fit_id == SeverityRow.fit_id))
    conn.execute(sa.delete(SeverityRow).where(SeverityRow.fit_id < before, ~used))


def severity_of(conn: Connection, reviewer_id: int) -> AnyRow | None:
    """What the newest fit found of a reviewer."""
    columns = SeverityRow.__table__.columns
    query: AnySelect = sa.select(*columns).where(SeverityRow.reviewer_id == reviewer_id)
    return conn.execute(query.order_by(SeverityRow.fit_id.desc()).limit(1)).one_or_none()
