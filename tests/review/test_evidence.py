"""Evidence as answers bring it, on a real database: recorded once, folded at once, the same from a replay."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from crowd.images.models import ImageState
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tiers import quality_queries as queries
from crowd.tiers.evidence import record, take_out
from crowd.tiers.quality_models import EvidenceRow, ScoreRow, SeverityRow
from crowd.tiers.rebuild import rebuild, refit
from crowd.tiers.score import Evidence, Kind, fold, item_of
from crowd.tiers.severity import unknown_judge
from tests.review.crowds import Crowd
from tests.tasks.engine import Engine, Lease, open_database, passing, rejecting

SCORE = tuple(ScoreRow.__table__.c[name] for name in ("worker_id", "stage", "n", "gold_n", "good", "bad"))
SUMS = ("n", "good", "bad")
DAY = tuple(
    ScoreRow.__table__.c[name]
    for name in (
        "at",
        *(f"{kept}_{name}" for kept in ("day", "told", "told_day") for name in SUMS),
        "fit_id",
    )
)


@pytest.fixture
def engine(rt: Runtime) -> Any:
    found = Engine(replace(rt, db=open_database(rt.db.url)))
    yield found
    found.db.close()


def scores(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.db.read() as conn:
        rows = conn.execute(sa.select(*SCORE, *DAY).where(ScoreRow.at.is_not(None)).order_by(*SCORE[:2]))
        return [tuple(row) for row in rows]


def evidence(engine: Engine, **of: Any) -> list[Any]:
    query = sa.select(*EvidenceRow.__table__.columns).order_by(EvidenceRow.id)
    for name, value in of.items():
        query = query.where(EvidenceRow.__table__.c[name] == value)
    with engine.db.read() as conn:
        return list(conn.execute(query))


def do(engine: Engine, worker_id: int, stage: Stage, result: Any = None) -> Lease:
    lease = engine.claim(worker_id, stage)
    assert isinstance(lease, Lease), lease
    assert engine.answer(lease, passing(lease) if result is None else result) is None
    return lease


def test_a_crowds_scores_come_out_the_same_from_a_replay_to_the_last_digit(engine: Engine) -> None:
    crowd = Crowd(engine, seed=3)
    crowd.work(images=6, answers=60)
    refit(engine.db, engine.policy, engine.now)
    crowd.work(images=3, answers=35)
    before = scores(engine)
    kinds = {row.kind for row in evidence(engine)}
    assert {Kind.REVIEW, Kind.BOUNCE, Kind.PRE_CHECK, Kind.AGREEMENT} <= kinds
    assert len(before) > 10
    with engine.db.begin() as conn:
        conn.execute(sa.delete(ScoreRow))
        conn.execute(sa.delete(SeverityRow))
    rebuilt = rebuild(engine.db, engine.policy)
    assert scores(engine) == before
    assert rebuilt.changed == rebuilt.scores == len(before)
    assert rebuild(engine.db, engine.policy).changed == 0


def test_a_replay_in_process_by_the_pure_modules_gives_identical_scores(engine: Engine) -> None:
    Crowd(engine, seed=5).work(images=4, answers=45)
    unknown = unknown_judge(engine.policy.quality)
    for worker_id, stage, n, gold_n, good, bad, *_ in scores(engine):
        rows = evidence(engine, worker_id=worker_id, stage=stage)
        items = [item_of(row, None if row.judge_id is None else unknown) for row in rows]
        again = fold(items, engine.policy.quality)
        assert (again.n, again.gold_n, again.good, again.bad) == (n, gold_n, good, bad)


def test_a_new_fit_changes_scores_and_what_comes_after_follows_it(engine: Engine) -> None:
    crowd = Crowd(engine, seed=7)
    crowd.work(images=5, answers=45)
    before = scores(engine)
    rebuilt = refit(engine.db, engine.policy, engine.now)
    assert rebuilt.reviewers > 0
    assert rebuilt.changed > 0
    after = scores(engine)
    assert [row[:4] for row in after] == [row[:4] for row in before]
    assert {row[-1] for row in after} == {1}
    newcomer = engine.hire(Grade.GENERAL)
    with engine.db.begin() as conn:
        from_gold = Evidence(
            worker_id=newcomer,
            stage=Stage.ATTRIBUTES,
            kind=Kind.GOLD,
            value=1.0,
            weight=1.0,
            task_id=1,
            at=engine.now,
        )
        _record(engine, conn, from_gold)
    assert [row[-1] for row in scores(engine) if row[0] == newcomer] == [1]


def test_labelling_costs_no_statement_and_a_review_six_at_most(engine: Engine) -> None:
    people = {grade: [engine.hire(grade) for _ in range(2)] for grade in Grade}
    engine.add_image()
    counted: list[str] = []

    @event.listens_for(engine.db.engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if any(f" {table}" in statement for table in ("evidence", "scores", "severit")):
            counted.append(statement)

    do(engine, people[Grade.GENERAL][0], Stage.SEGMENTATION)
    do(engine, people[Grade.GENERAL][1], Stage.ATTRIBUTES)
    do(engine, people[Grade.EXPERT][0], Stage.STYLES)
    assert counted == []
    costs = []
    for worker_id, stage in (
        (people[Grade.REVIEWER][0], Stage.FIRST_REVIEW),
        (people[Grade.INSPECTOR][0], Stage.SECOND_REVIEW),
        (people[Grade.INSPECTOR][1], Stage.SECOND_REVIEW),
    ):
        do(engine, worker_id, stage)
        costs.append(len(counted))
        counted.clear()
    # Besides these each review reads the image's story. The first evidence of a score asks for a fit.
    assert max(costs) <= 4


def test_an_admins_acceptance_decides_which_rejections_stand(engine: Engine) -> None:
    Crowd(engine, seed=1)
    admin = engine.crew[Grade.ADMIN][0]
    image = engine.image_at(Stage.FIRST_REVIEW)
    reviewer = engine.crew[Grade.REVIEWER][0]
    for _ in range(3):
        do(engine, reviewer, Stage.FIRST_REVIEW, rejecting(Stage.STYLES))
        tasks = engine.open_tasks(image)
        if tasks[0].stage is Stage.ADJUDICATION:
            break
        author = engine.task(tasks[0].id).reserved_for
        do(engine, author, Stage.STYLES)
    assert evidence(engine, kind=Kind.BOUNCE) == []
    judge = engine.crew[Grade.INSPECTOR][0]
    do(engine, judge, Stage.ADJUDICATION, rejecting(Stage.STYLES))
    assert engine.image_state(image) is ImageState.HELD
    stood = evidence(engine, kind=Kind.BOUNCE, stage=Stage.STYLES)
    assert {row.value for row in stood} == {0.0}
    marks = evidence(engine, kind=Kind.BOUNCE, worker_id=reviewer)
    assert [row.value for row in marks] == [1.0, 1.0, 1.0]
    engine.decide(admin, image, ImageState.ACCEPTED, Stage.SEGMENTATION)
    assert evidence(engine, kind=Kind.BOUNCE) == sorted([*stood, *marks], key=lambda row: row.id)


def test_evidence_that_was_taken_out_counts_no_more_and_stays(engine: Engine) -> None:
    worker = engine.hire(Grade.GENERAL)
    found = [
        Evidence(
            worker_id=worker,
            stage=Stage.ATTRIBUTES,
            kind=Kind.GOLD,
            value=value,
            weight=1.0,
            task_id=task_id,
            at=engine.now + timedelta(hours=task_id),
        )
        for task_id, value in enumerate((1.0, 0.0, 1.0))
    ]
    with engine.db.begin() as conn:
        _record(engine, conn, found[0], found[2])
    without = scores(engine)
    other = engine.hire(Grade.GENERAL)
    with engine.db.begin() as conn:
        _record(engine, conn, *(replace(each, worker_id=other) for each in found))
    bad = next(row for row in evidence(engine, worker_id=other) if row.value == 0.0)
    with engine.db.begin() as conn:
        take_out(conn, engine.policy, bad.id, by=None, why="it was right", at=engine.now)
    assert [row[1:] for row in scores(engine) if row[0] == other] == [row[1:] for row in without]
    assert [row.cancels_id for row in evidence(engine, worker_id=other)] == [None, None, None, bad.id]
    with engine.db.begin() as conn, pytest.raises(Exception, match="taken out before"):
        take_out(conn, engine.policy, bad.id, by=None, why="again", at=engine.now)
    assert rebuild(engine.db, engine.policy).changed == 0


def test_the_fit_tells_a_careful_reviewer_from_one_who_stamps(engine: Engine) -> None:
    worker, stamp, careful = (engine.hire(grade) for grade in (Grade.GENERAL, Grade.REVIEWER, Grade.REVIEWER))
    found = []
    for task_id in range(60):
        right = task_id % 3 > 0
        for reviewer, score in ((stamp, 5), (careful, 5 if right else 2)):
            compared = Evidence(
                worker_id=reviewer,
                stage=Stage.FIRST_REVIEW,
                kind=Kind.AGREEMENT,
                value=1.0,
                weight=1.0,
                task_id=task_id,
                at=engine.now,
                score=score,
                against=4.5 if right else 2.0,
            )
            reviewed = replace(
                compared,
                worker_id=worker,
                stage=Stage.STYLES,
                kind=Kind.REVIEW,
                judge_id=reviewer,
                against=None,
            )
            found += [compared, reviewed]
    with engine.db.begin() as conn:
        _record(engine, conn, *found)
    refit(engine.db, engine.policy, engine.now)
    with engine.db.read() as conn:
        by_stamp, by_careful = (queries.severity_of(conn, one) for one in (stamp, careful))
    assert by_stamp is not None
    assert by_careful is not None
    assert by_stamp.kappa == pytest.approx(0.0)
    assert by_careful.kappa > 0.9
    assert by_stamp.weight < 0.05 < 0.6 < by_careful.weight
    assert by_stamp.offset > 0.5 > by_careful.offset
    assert by_stamp.bias > by_careful.bias
    assert by_stamp.reviews == by_careful.compared == 60


def _record(engine: Engine, conn: Any, *found: Evidence) -> None:
    record(conn, engine.policy, list(found))
