"""Which tasks wait for candidates, in which order, and how several takers share them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.ml import pending
from crowd.ml.models import CandidateMark
from crowd.ml.pending import HOLD, Returned
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import assignment_queries
from crowd.tasks.claim_queries import SETTLED_AFTER
from crowd.tasks.models import Kind, Task
from tests.ml.shelf import add_card, candidates_of, jobs_of, promote, segmentation_card, styles_card
from tests.tasks.engine import Engine, Lease, later

LONG_AGO = SETTLED_AFTER + timedelta(seconds=5)


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    made = Engine(rt)
    for grade in (Grade.GENERAL, Grade.GENERAL, Grade.SEMI_EXPERT, Grade.EXPERT, Grade.EXPERT, Grade.ADMIN):
        made.hire(grade)
    for _ in range(2):
        made.hire(Grade.INSPECTOR)
    return made


@pytest.fixture
def model(rt: Runtime, tmp_path: Path) -> int:
    """A model of segmentation that serves."""
    model_id = add_card(rt, tmp_path, segmentation_card())
    promote(rt, model_id)
    return model_id


def take(engine: Engine, limit: int, stage: Stage = Stage.SEGMENTATION) -> list[int]:
    with engine.db.begin() as conn:
        taken = pending.take(conn, stage, limit, engine.policy, engine.now, Returned())
    return [wanted.task_id for wanted in taken.tasks] if taken else []


def finish(engine: Engine, model: int, made: list[int], failed: list[int] | None = None) -> None:
    with engine.db.begin() as conn:
        values: dict[int, Any] = {task_id: {"regions": []} for task_id in made}
        errors = dict.fromkeys(failed or [], "broken")
        pending.finish(conn, model, values, errors, engine.policy, engine.now)


def test_nothing_is_pending_for_a_stage_without_a_model(engine: Engine) -> None:
    engine.add_image()
    assert take(engine, 10) == []


def test_tasks_are_taken_in_the_order_in_which_people_will_claim_them(engine: Engine, model: int) -> None:
    for _ in range(6):
        engine.add_image()
    with engine.db.begin() as conn:
        ids = conn.execute(sa.select(Task.id).order_by(Task.id)).scalars().all()
        conn.execute(sa.update(Task).where(Task.id == ids[4]).values(priority=-1))
        conn.execute(sa.update(Task).where(Task.id == ids[0]).values(priority=3))
    taken = take(engine, 3) + take(engine, 10)
    claimed = []
    for _ in range(3):
        for person in engine.crew[Grade.GENERAL]:
            lease = engine.claim(person)
            assert isinstance(lease, Lease)
            claimed.append(lease.task_id)
    assert taken == claimed


def test_what_one_has_taken_nobody_else_takes(engine: Engine, model: int) -> None:
    for _ in range(5):
        engine.add_image()
    first, second, third = take(engine, 2), take(engine, 2), take(engine, 2)
    assert (len(first), len(second), len(third)) == (2, 2, 1)
    assert len({*first, *second, *third}) == 5
    assert take(engine, 2) == []


def test_what_is_done_is_not_pending_again_but_for_the_next_model(
    engine: Engine, model: int, tmp_path: Path
) -> None:
    engine.add_image()
    taken = take(engine, 10)
    finish(engine, model, taken)
    assert take(engine, 10) == []
    promote(engine.rt, add_card(engine.rt, tmp_path, segmentation_card(), seed=1))
    assert take(engine, 10) == taken


def test_a_model_that_comes_back_goes_on_where_it_was(engine: Engine, model: int, tmp_path: Path) -> None:
    engine.add_image()
    finish(engine, model, take(engine, 10))
    other = add_card(engine.rt, tmp_path, segmentation_card(), seed=1)
    promote(engine.rt, other)
    engine.add_image()
    finish(engine, other, take(engine, 10))
    promote(engine.rt, model)
    assert len(take(engine, 10)) == 1


def test_tasks_of_a_dead_taker_are_taken_again_alone(engine: Engine, model: int) -> None:
    for _ in range(3):
        engine.add_image()
    taken = take(engine, 10)
    later(engine, HOLD.total_seconds() - 1)
    assert take(engine, 10) == []
    later(engine, 2)
    assert [take(engine, 10) for _ in range(3)] == [[task_id] for task_id in taken]


def test_a_task_that_kills_its_takers_is_given_up(engine: Engine, model: int) -> None:
    engine.add_image()
    (task_id,) = take(engine, 10)
    for _ in range(engine.policy.candidate_attempts - 1):
        later(engine, HOLD.total_seconds() + 1)
        assert take(engine, 10) == [task_id]
    later(engine, HOLD.total_seconds() + 1)
    assert take(engine, 10) == []
    job = jobs_of(engine.rt, model)[task_id]
    assert (job.due_at, job.attempts, job.error) == (None, 3, "nobody came back")
    with engine.db.begin() as conn:
        assert pending.try_again(conn, model, engine.now) == 1
    assert take(engine, 10) == [task_id]


def test_a_failure_is_tried_again_later_and_so_often_only(engine: Engine, model: int) -> None:
    engine.add_image()
    (task_id,) = take(engine, 10)
    for _ in range(engine.policy.candidate_attempts):
        finish(engine, model, [], [task_id])
        assert take(engine, 10) == []
        later(engine, 3600)
        if jobs_of(engine.rt, model)[task_id].due_at is not None:
            assert take(engine, 10) == [task_id]
    assert take(engine, 10) == []
    assert jobs_of(engine.rt, model)[task_id].error == "broken"


def test_what_was_given_back_is_taken_at_once_and_counts_no_attempt(engine: Engine, model: int) -> None:
    for _ in range(3):
        engine.add_image()
    taken = take(engine, 10)
    with engine.db.begin() as conn:
        pending.give_back(conn, model, taken, engine.now)
    assert take(engine, 10) == taken
    assert {job.attempts for job in jobs_of(engine.rt, model).values()} == {1}


def test_the_first_ones_stay_when_two_make_the_same(engine: Engine, model: int) -> None:
    engine.add_image()
    (task_id,) = take(engine, 10)
    made = [{"regions": [{"id": "r1", "part": part, "score": 0.9}]} for part in ("top", "dress")]
    for value in made:
        with engine.db.begin() as conn:
            pending.finish(conn, model, {task_id: value}, {}, engine.policy, engine.now)
    assert candidates_of(engine.rt, model) == {task_id: made[0]}


def test_what_is_finished_while_somebody_looks_is_not_taken_again(
    engine: Engine, model: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.db.is_sqlite:
        pytest.skip("SQLite has one writer: nobody finishes while somebody takes")
    engine.add_image()
    taken = take(engine, 10)
    ask = pending._among

    def ask_and_let_them_finish(*question: Any) -> Any:
        answer = ask(*question)
        finish(engine, model, taken)
        return answer

    monkeypatch.setattr(pending, "_among", ask_and_let_them_finish)
    assert take(engine, 10) == []


def test_only_the_first_look_at_an_image_gets_candidates(engine: Engine, model: int, tmp_path: Path) -> None:
    promote(engine.rt, add_card(engine.rt, tmp_path, styles_card(), name="styles"))
    unusable, unsure = engine.add_image(), None
    lease = engine.claim(engine.crew[Grade.GENERAL][0])
    assert isinstance(lease, Lease)
    engine.answer(lease, {"unusable": "collage"})
    assert engine.open_tasks(unusable), "a second opinion waits"
    assert take(engine, 10) == []
    engine.clear()
    unsure = engine.image_at(Stage.STYLES)
    assert len(take(engine, 10, Stage.STYLES)) == 1
    lease = engine.claim(engine.crew[Grade.EXPERT][0], Stage.STYLES)
    assert isinstance(lease, Lease)
    engine.answer(lease, {"styles": ["resort"], "unsure": True})
    assert len(engine.open_tasks(unsure)) == 1, "a second expert is asked"
    assert take(engine, 10, Stage.STYLES) == []


def test_rework_gets_none_and_a_later_stage_without_labels_does(
    engine: Engine, model: int, tmp_path: Path
) -> None:
    promote(engine.rt, add_card(engine.rt, tmp_path, styles_card(), name="styles"))
    image_id = engine.image_at(Stage.STYLES)
    lease = engine.claim(engine.crew[Grade.EXPERT][0], Stage.STYLES)
    assert isinstance(lease, Lease)
    sent = {"to": "segmentation", "reasons": ["missing"], "comment": ""}
    assert engine.answer(lease, sent, Kind.SEND_BACK) is None
    assert take(engine, 10) == [], "it starts from the labels there are"
    engine.lead(image_id, Stage.STYLES)
    assert engine.open_tasks(image_id)[0].round > 1
    assert len(take(engine, 10, Stage.STYLES)) == 1


def test_a_task_that_was_claimed_too_early_gets_its_candidates_when_it_comes_back(
    engine: Engine, model: int
) -> None:
    engine.add_image()
    early = engine.claim(engine.crew[Grade.GENERAL][0])
    assert isinstance(early, Lease)
    later(engine, LONG_AGO.total_seconds())
    engine.add_image()
    later(engine, LONG_AGO.total_seconds())
    finish(engine, model, take(engine, 10))
    assert marks(engine, model)[0] > early.task_id
    engine.release(early)
    assert take(engine, 10) == [early.task_id]


def test_a_task_that_came_back_in_front_of_no_mark_is_taken_once(engine: Engine, model: int) -> None:
    engine.add_image()
    early = engine.claim(engine.crew[Grade.GENERAL][0])
    assert isinstance(early, Lease)
    engine.release(early)
    assert take(engine, 10) == [early.task_id]


def test_a_task_whose_transaction_commits_late_is_not_passed_over(engine: Engine, model: int) -> None:
    engine.add_image()
    engine.add_image()
    with engine.db.begin() as conn:
        first, second = conn.execute(sa.select(*Task.__table__.columns).order_by(Task.id)).all()
        conn.execute(sa.delete(Task).where(Task.id == first.id))
    assert take(engine, 10) == [second.id]
    with engine.db.begin() as conn:
        conn.execute(sa.insert(Task).values(first._mapping))
    assert take(engine, 10) == [first.id]


def keep(engine: Engine, task_ids: Sequence[int]) -> None:
    """Have an assignment keep these for its people."""
    with engine.db.begin() as conn:
        assert assignment_queries.keep(conn, 1, task_ids) == len(task_ids)


def test_what_an_assignment_keeps_gets_its_candidates_beside_all_else(
    engine: Engine, model: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PAGE", 3)
    for _ in range(16):
        engine.add_image()
    with engine.db.read() as conn:
        ids = list(conn.execute(sa.select(Task.id).order_by(Task.id)).scalars())
    keep(engine, ids[:10])
    returned = Returned()
    taken: list[int] = []
    while True:
        with engine.db.begin() as conn:
            more = pending.take(conn, Stage.SEGMENTATION, 4, engine.policy, engine.now, returned)
        assert more is not None
        if not more.tasks:
            break
        if not taken:
            assert {wanted.task_id in ids[:10] for wanted in more.tasks} == {True, False}
        taken += [wanted.task_id for wanted in more.tasks]
    assert sorted(taken) == ids


def test_a_worker_is_told_when_nothing_is_pending_but_what_an_assignment_keeps(
    engine: Engine, model: int
) -> None:
    for _ in range(3):
        engine.add_image()
    with engine.db.read() as conn:
        ids = list(conn.execute(sa.select(Task.id).order_by(Task.id)).scalars())
    keep(engine, ids)

    def is_pending() -> bool:
        with engine.db.read() as conn:
            return pending.is_pending(conn, model, Stage.SEGMENTATION, engine.now)

    assert is_pending()
    taken = take(engine, 2)
    assert taken == ids[:1], "up to half of what is asked for"
    finish(engine, model, taken + take(engine, 10))
    assert not is_pending()


def test_the_mark_follows_what_is_settled(engine: Engine, model: int) -> None:
    for _ in range(3):
        engine.add_image()
    assert len(take(engine, 2)) == 2
    assert marks(engine, model) == {}
    later(engine, LONG_AGO.total_seconds())
    (last,) = take(engine, 10)
    assert marks(engine, model) == {0: last}
    better = engine.add_image()
    with engine.db.begin() as conn:
        conn.execute(sa.update(Task).where(Task.image_id == better).values(priority=-5))
    assert len(take(engine, 10)) == 1


def test_taking_survives_more_done_tasks_than_a_page(
    engine: Engine, model: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PAGE", 4)
    monkeypatch.setattr(pending, "LEAST_PAGE", 2)
    for _ in range(14):
        engine.add_image()
    taken: list[int] = []
    while batch := take(engine, 3):
        taken += batch
    assert len(taken) == len(set(taken)) == 14


def marks(engine: Engine, model: int) -> dict[int, int]:
    with engine.db.read() as conn:
        rows = conn.execute(
            sa.select(CandidateMark.priority, CandidateMark.task_id).where(CandidateMark.model_id == model)
        )
        return {row.priority: row.task_id for row in rows}
