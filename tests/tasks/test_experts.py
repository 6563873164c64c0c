"""Hard styles go to the best experts first, starve nobody, and each expert's time and aim are kept."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import experts, leases
from crowd.tasks.expert_models import ExpertFigure
from crowd.tasks.leases import QueueState
from crowd.tasks.models import Task
from crowd.tiers.quality_models import ScoreRow
from tests.kinds import Bearer, Client, MakeWorker
from tests.tasks.engine import Engine, Lease, later, passing


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    made = Engine(rt, clock.now() - timedelta(days=1))
    made.is_alone = False
    made.hire(Grade.GENERAL)
    return made


def at_work(engine: Engine, worker_id: int, *, good: float = 0.0, bad: float = 0.0) -> int:
    """An expert who answered a moment ago, with this evidence."""
    with engine.db.begin() as conn:
        figures = {"answers": 1, "unsure": 0, "timed": 0, "seconds": 0.0, "judged": 0, "agreed": 0}
        conn.execute(sa.insert(ExpertFigure).values(worker_id=worker_id, last_at=engine.now, **figures))
        score = sa.update(ScoreRow).where(ScoreRow.worker_id == worker_id, ScoreRow.stage == Stage.STYLES)
        assert conn.execute(score.values(good=good, bad=bad)).rowcount == 1
    return worker_id


def say(engine: Engine, worker_id: int, style: str, *, unsure: bool = False) -> Lease:
    lease = engine.claim(worker_id, Stage.STYLES)
    assert isinstance(lease, Lease)
    assert engine.answer(lease, {"styles": [style], "unsure": unsure}) is None
    return lease


def kept_for(engine: Engine, image_id: int) -> int | None:
    with engine.db.read() as conn:
        seat = sa.select(Task.reserved_for).where(Task.image_id == image_id, Task.stage == Stage.STYLES)
        return conn.execute(seat.order_by(Task.id.desc()).limit(1)).scalar_one()


def crew(engine: Engine) -> list[int]:
    """Eight experts at work, the best first."""
    return [at_work(engine, engine.hire(Grade.EXPERT), good=50.0 - 5 * n, bad=5.0 * n) for n in range(8)]


def test_a_further_seat_waits_for_the_best_expert_then_for_the_next_best(engine: Engine) -> None:
    best, second, *_, last = crew(engine)
    image = engine.image_at(Stage.STYLES)
    say(engine, last, "resort", unsure=True)
    assert kept_for(engine, image) == best
    assert engine.claim(last, Stage.STYLES) in set(QueueState)
    say(engine, best, "punk")
    assert kept_for(engine, image) == second


def test_after_a_while_anyone_may_take_it(engine: Engine) -> None:
    best, _, other, *_, last = crew(engine)
    image = engine.image_at(Stage.STYLES)
    say(engine, last, "resort", unsure=True)
    assert engine.claim(other, Stage.STYLES) is QueueState.LEASED
    later(engine, engine.policy.experts.reserve_seconds + 1)
    lease = engine.claim(other, Stage.STYLES)
    assert isinstance(lease, Lease)
    assert lease.image_id == image
    assert best != other


@pytest.mark.parametrize("how", ["in time", "by suspension"])
def test_it_is_found_then_by_those_whose_searches_begin_behind_it(engine: Engine, how: str) -> None:
    best, _, other, *_, last = crew(engine)
    image = engine.image_at(Stage.STYLES)
    say(engine, last, "resort", unsure=True)
    assert kept_for(engine, image) == best
    with engine.db.read() as conn:
        seat = conn.execute(sa.select(sa.func.max(Task.id))).scalar_one()
    engine.book.move(other, Stage.STYLES, {0: seat + 1})
    if how == "in time":
        later(engine, engine.policy.experts.reserve_seconds + 1)
        engine.tidy()
    else:
        with engine.db.begin() as conn:
            leases.end_standing(conn, best, [], leases=True)
    lease = engine.claim(other, Stage.STYLES)
    assert isinstance(lease, Lease)
    assert lease.task_id == seat


def test_only_the_best_quarter_is_waited_for_and_only_who_is_at_work(engine: Engine) -> None:
    best, second, *_, last = crew(engine)
    with engine.db.begin() as conn:
        gone = engine.now - timedelta(seconds=engine.policy.experts.at_work_seconds + 1)
        away = sa.update(ExpertFigure).values(last_at=gone)
        conn.execute(away.where(ExpertFigure.worker_id == best))
    first = engine.image_at(Stage.STYLES)
    say(engine, last, "resort", unsure=True)
    assert kept_for(engine, first) == second
    with engine.db.begin() as conn:
        conn.execute(away.where(ExpertFigure.worker_id == second))
    say(engine, second, "punk")
    assert kept_for(engine, first) is None, "the third best of eight is not of the best quarter"


def test_a_suspended_expert_is_not_waited_for(engine: Engine) -> None:
    best, second, *_, last = crew(engine)
    engine.suspend(best)
    image = engine.image_at(Stage.STYLES)
    say(engine, last, "resort", unsure=True)
    assert kept_for(engine, image) == second


def test_whoever_judged_the_image_before_is_not_asked(engine: Engine) -> None:
    best, second, *_, last = crew(engine)
    image = engine.image_at(Stage.STYLES)
    engine.regrade(best, Grade.REVIEWER)
    lease = engine.claim(last, Stage.STYLES)
    assert isinstance(lease, Lease)
    engine.answer(lease, {"styles": ["punk"], "unsure": False})
    review = engine.claim(best, Stage.FIRST_REVIEW)
    assert isinstance(review, Lease)
    verdict = {"score": 3, "blame": "styles", "reasons": ["missing"]}
    engine.answer(review, verdict)
    engine.regrade(best, Grade.EXPERT)
    say(engine, last, "resort", unsure=True)
    assert kept_for(engine, image) == second


def test_not_everything_waits_for_the_one_who_is_best(engine: Engine) -> None:
    best, second, *_, last = crew(engine)
    most = engine.policy.experts.most_waiting
    images = []
    for _ in range(most + 1):
        images.append(engine.add_image())
        for stage in (Stage.SEGMENTATION, Stage.ATTRIBUTES):
            lease = engine.claim(engine.crew[Grade.GENERAL][0], stage)
            assert isinstance(lease, Lease)
            engine.answer(lease, passing(lease))
        say(engine, last, "resort", unsure=True)
    assert [kept_for(engine, image) for image in images] == [best] * most + [second]


def test_with_reservations_off_nobody_is_waited_for(engine: Engine) -> None:
    *_, last = crew(engine)
    engine.policy = replace(engine.policy, reserve_seconds=0)
    engine.rulebook = replace(engine.rulebook, policy=engine.policy)
    image = engine.image_at(Stage.STYLES)
    say(engine, last, "resort", unsure=True)
    assert kept_for(engine, image) is None


def test_time_and_aim_are_added_up_once_when_styles_are_settled(
    engine: Engine, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    three = [engine.hire(Grade.EXPERT) for _ in range(3)]
    engine.image_at(Stage.STYLES)
    for who, style in zip(three, ("resort", "punk", "resort"), strict=True):
        assert experts.fold(engine.db, engine.now + timedelta(minutes=5)) >= 0
        say(engine, who, style, unsure=who == three[0])
    assert experts.fold(engine.db, engine.now) == 0, "what may still be joined by an earlier one waits"
    settled = engine.now + timedelta(minutes=5)
    assert experts.fold(engine.db, settled) > 0
    assert experts.fold(engine.db, settled) == 0
    boss = bearer(make_worker(Grade.ADMIN)[1])
    shown = {row["worker_id"]: row for row in client.get("/api/v1/stats/experts", headers=boss).json["items"]}
    wanted: dict[str, Any] = {"answers": 1, "seconds": 1.5, "judged": 1}
    for who, agreed, unsure in zip(three, (1, 0, 1), (1, 0, 0), strict=True):
        row = shown[who]
        assert {name: row[name] for name in wanted} == wanted
        assert (row["agreed"], row["accuracy"], row["unsure"]) == (agreed, float(agreed), unsure)


def test_a_single_sure_answer_is_timed_and_judged_by_nobody(engine: Engine) -> None:
    who = engine.hire(Grade.EXPERT)
    engine.image_at(Stage.STYLES)
    say(engine, who, "resort")
    experts.fold(engine.db, engine.now + timedelta(minutes=5), batch=1)
    with engine.db.read() as conn:
        (row,) = experts.figures(conn, engine.policy, limit=10)
    assert (row["answers"], row["seconds"], row["judged"], row["accuracy"]) == (1, 1.5, 0, None)


def test_only_admins_see_experts_figures(client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
    worker = bearer(make_worker(Grade.EXPERT)[1])
    assert client.get("/api/v1/stats/experts", headers=worker).status_code == 403
    assert client.get("/api/v1/stats/experts").status_code == 401


def test_where_policy_weighs_votes_two_good_experts_settle_what_is_unsure(engine: Engine) -> None:
    best, second, *_ = crew(engine)
    experts_policy = replace(engine.policy.experts, sure_percent=95)
    engine.policy = replace(engine.policy, experts=experts_policy, reserve_seconds=0)
    engine.rulebook = replace(engine.rulebook, policy=engine.policy)
    image = engine.image_at(Stage.STYLES)
    say(engine, best, "resort", unsure=True)
    say(engine, second, "resort")
    assert [task.stage for task in engine.open_tasks(image)] == [Stage.FIRST_REVIEW]
