"""Labels that a model doubts: looked through once, page by page; listed; sent back or upheld by an admin."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow
from crowd.core.errors import Conflict, NotFound
from crowd.images.models import Image, ImageState, Supplier
from crowd.ml.models import Candidates
from crowd.ml.watch.confidence import doubt, thresholds
from crowd.ml.watch.models import ClassSum, DoubtDecision, DoubtedLabel, DoubtSum, LabelMark
from crowd.ml.watch.outlines import Judged, judged_outlines
from crowd.ml.watch.sayings import Saying, sayings
from crowd.policy import Policy, Stage
from crowd.tasks import decisions, image_queries
from crowd.tasks.claim_queries import SETTLED_AFTER
from crowd.tasks.decisions import Decision
from crowd.tasks.models import Label, Task
from crowd.taxonomy import Taxonomy

# Labels of all stages that are stepped over at a time.
PAGE = 2000

# Labels with their candidates and author, and what was asked about each.
_Judgements = Sequence[tuple[AnyRow, Sequence[Judged]]]


@dataclass(slots=True)
class _Tally:
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    scores: defaultdict[tuple[str, str], float] = field(default_factory=partial(defaultdict, float))
    looked: Counter[tuple[str, str]] = field(default_factory=Counter)
    doubted: Counter[tuple[str, str]] = field(default_factory=Counter)


def look(
    conn: Connection, model_id: int, stage: Stage, taxonomy: Taxonomy, policy: Policy, now: datetime
) -> int | None:
    """Look through the next page of labels; returns how many are doubted, None when there is none left.

    One process at a time looks for a model. Each label is looked at once, with the thresholds that all before
    it make up; outlines by how much of them the model's cover. Labels of the last 90 seconds wait: one with a
    smaller id may still be committed.
    """
    beyond = _lock_mark(conn, model_id)
    ids = (
        conn.execute(
            sa.select(Label.id)
            .where(Label.id > beyond, Label.at < now - SETTLED_AFTER)
            .order_by(Label.id)
            .limit(PAGE)
        )
        .scalars()
        .all()
    )
    if not ids:
        return None
    rows = _labelled(conn, model_id, stage, ids[0], ids[-1])
    if stage is Stage.SEGMENTATION:
        judged = _judge_outlines(rows, policy.doubted_overlap_percent / 100)
    else:
        judged = _judge_answers(conn, model_id, stage, rows, taxonomy)
    tally = _Tally()
    found = list(_doubts(judged, tally))
    _add_sums(conn, model_id, tally)
    if found:
        values = [{**each, "model_id": model_id, "stage": stage, "at": now} for each in found]
        conn.execute(INSERT[conn.dialect.name](DoubtedLabel).on_conflict_do_nothing(), values)
    conn.execute(sa.update(LabelMark).where(LabelMark.model_id == model_id).values(label_id=ids[-1]))
    return len(found)


def doubted(
    conn: Connection,
    stage: Stage | None,
    question: str | None,
    least_margin: float,
    before: int | None,
    limit: int,
) -> Sequence[AnyRow]:
    """Doubts that nobody decided yet, about labels that still stand, newest first."""
    newer = sa.orm.aliased(Label)
    statement = (
        sa.select(*DoubtedLabel.__table__.columns, Label.worker_id)
        .join_from(DoubtedLabel, Label, Label.id == DoubtedLabel.label_id)
        .where(
            ~sa.exists().where(DoubtDecision.doubt_id == DoubtedLabel.id),
            ~sa.exists().where(
                newer.image_id == Label.image_id, newer.stage == Label.stage, newer.id > Label.id
            ),
            DoubtedLabel.margin >= least_margin,
        )
        .order_by(DoubtedLabel.id.desc())
        .limit(limit)
    )
    if stage is not None:
        statement = statement.where(DoubtedLabel.stage == stage)
    if question is not None:
        statement = statement.where(DoubtedLabel.question == question)
    if before is not None:
        statement = statement.where(DoubtedLabel.id < before)
    return conn.execute(statement).all()


def settle(
    conn: Connection,
    admin_id: int,
    doubt_id: int,
    *,
    sent_back: bool,
    why: str,
    policy: Policy,
    now: datetime,
) -> AnyRow:
    """Send the image back to the stage of the label, or let the label stand; returns the doubt.

    Raises NotFound; Conflict `decided` (somebody was faster) and `label_replaced`; and what `decide` raises.
    """
    found = conn.execute(
        sa.select(*DoubtedLabel.__table__.columns).where(DoubtedLabel.id == doubt_id)
    ).one_or_none()
    if found is None:
        raise NotFound("no_such_doubt", f"There is no doubt {doubt_id}.")
    # The image's row is the lock under which labels are replaced; who comes second sees the first's decision.
    image_queries.lock_image(conn, found.image_id)
    if conn.execute(sa.select(DoubtDecision.at).where(DoubtDecision.doubt_id == doubt_id)).first():
        raise Conflict("decided", "It has been decided already.")
    latest = sa.select(sa.func.max(Label.id)).where(
        Label.image_id == found.image_id, Label.stage == found.stage
    )
    if conn.execute(latest).scalar_one() != found.label_id:
        raise Conflict("label_replaced", "The label has been replaced since.")
    if sent_back:
        reason = why or f"a model doubts {found.question}: {found.given or found.proposed}"
        decision = Decision(ImageState.IN_WORK, found.stage, reason)
        decisions.decide(conn, admin_id, found.image_id, decision, policy, now)
    conn.execute(
        sa.insert(DoubtDecision).values(
            doubt_id=doubt_id, at=now, actor_id=admin_id, sent_back=sent_back, why=why
        )
    )
    return found


def _lock_mark(conn: Connection, model_id: int) -> int:
    first = INSERT[conn.dialect.name](LabelMark).values(model_id=model_id, label_id=0)
    conn.execute(first.on_conflict_do_nothing())
    mark: int = conn.execute(
        sa.select(LabelMark.label_id).where(LabelMark.model_id == model_id).with_for_update()
    ).scalar_one()
    return mark


def _labelled(conn: Connection, model_id: int, stage: Stage, first: int, last: int) -> Sequence[AnyRow]:
    """The stage's labels of that range that had candidates of the model, with these and the author.

    Those of another round were of another task, and maybe of other regions.
    """
    first_look = sa.and_(
        Task.image_id == Label.image_id, Task.stage == stage, Task.round == Label.round, Task.seat == 1
    )
    return conn.execute(
        sa.select(
            Label.id,
            Label.image_id,
            Label.value,
            Candidates.value.label("candidates"),
            Supplier.name.label("supplier"),
            Worker.grade,
        )
        .join_from(Label, Task, first_look)
        .join(Candidates, sa.and_(Candidates.task_id == Task.id, Candidates.model_id == model_id))
        .join(Image, Image.id == Label.image_id)
        .join(Supplier, Supplier.id == Image.supplier_id)
        .join(Worker, Worker.id == Label.worker_id, isouter=True)
        .where(Label.id.between(first, last), Label.stage == stage)
        .order_by(Label.id)
    ).all()


def _limits(conn: Connection, model_id: int) -> dict[str, dict[str, float]]:
    """The thresholds of every question."""
    rows = conn.execute(
        sa.select(ClassSum.question, ClassSum.value, ClassSum.labels, ClassSum.score).where(
            ClassSum.model_id == model_id
        )
    ).all()
    questions = {row.question for row in rows}
    return {
        question: thresholds(
            {row.value: row.labels for row in rows if row.question == question},
            {row.value: row.score for row in rows if row.question == question},
        )
        for question in questions
    }


def _judge_outlines(rows: Sequence[AnyRow], least: float) -> _Judgements:
    return [
        (row, list(judged_outlines(row.value["regions"], row.candidates["regions"], least))) for row in rows
    ]


def _judge_answers(
    conn: Connection, model_id: int, stage: Stage, rows: Sequence[AnyRow], taxonomy: Taxonomy
) -> _Judgements:
    """By thresholds that these labels are part of already."""
    said = [(row, list(sayings(stage, row.value, row.candidates, taxonomy))) for row in rows]
    tally = _Tally()
    for _, each in said:
        for saying in each:
            tally.labels[saying.question, saying.given] += 1
            tally.scores[saying.question, saying.given] += saying.scores.get(saying.given, 0.0)
    _add_classes(conn, model_id, tally)
    limits = _limits(conn, model_id)

    def judged(saying: Saying) -> Judged:
        found = doubt(saying.given, saying.scores, limits.get(saying.question, {}), saying.also)
        return Judged(saying.region, saying.question, saying.given, found)

    return [(row, [judged(saying) for saying in each]) for row, each in said]


def _doubts(judgements: _Judgements, tally: _Tally) -> Iterator[dict[str, Any]]:
    for row, each in judgements:
        for judged in each:
            for group in _groups(row, judged):
                tally.looked[group] += 1
                tally.doubted[group] += judged.doubt is not None
            if judged.doubt is not None:
                yield {
                    "label_id": row.id,
                    "image_id": row.image_id,
                    "region": judged.region,
                    "question": judged.question,
                    "given": judged.given,
                    "proposed": judged.doubt.proposed,
                    "margin": judged.doubt.margin,
                }


def _groups(row: AnyRow, judged: Judged) -> Iterator[tuple[str, str]]:
    """Whom or what a doubt counts against."""
    if judged.is_comparable:
        yield "question", judged.question
        yield "value", f"{judged.question}: {judged.given}"
    yield "supplier", row.supplier[:130]
    if row.grade is not None:
        yield "grade", row.grade.value


def _add_classes(conn: Connection, model_id: int, tally: _Tally) -> None:
    if tally.labels:
        insert = INSERT[conn.dialect.name](ClassSum)
        grown = {name: getattr(ClassSum, name) + insert.excluded[name] for name in ("labels", "score")}
        rows = [
            {
                "model_id": model_id,
                "question": question,
                "value": value,
                "labels": tally.labels[question, value],
                "score": tally.scores[question, value],
            }
            for question, value in sorted(tally.labels)
        ]
        key = list(ClassSum.__table__.primary_key)
        conn.execute(insert.on_conflict_do_update(index_elements=key, set_=grown), rows)


def _add_sums(conn: Connection, model_id: int, tally: _Tally) -> None:
    if tally.looked:
        insert = INSERT[conn.dialect.name](DoubtSum)
        grown = {name: getattr(DoubtSum, name) + insert.excluded[name] for name in ("looked", "doubted")}
        rows = [
            {
                "model_id": model_id,
                "kind": kind,
                "subject": subject,
                "looked": tally.looked[kind, subject],
                "doubted": tally.doubted[kind, subject],
            }
            for kind, subject in sorted(tally.looked)
        ]
        key = list(DoubtSum.__table__.primary_key)
        conn.execute(insert.on_conflict_do_update(index_elements=key, set_=grown), rows)
