"""Answers that arrive at the same instant as something that concerns the same task or image."""

from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa

from crowd.core.errors import Problem
from crowd.images.history import replay
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Grade, Stage
from crowd.tasks.flow import Cause
from crowd.tasks.models import Kind, Standing, Submission, TaskState
from tests.races.conftest import Crowd
from tests.races.contest import together, turns
from tests.tasks.engine import OPEN, Engine, Lease, later, passing, rejecting

ROUNDS = 16
EXPIRED = 2000


def test_a_submit_and_the_tidy_that_takes_its_lease_back_both_succeed(crowd: Crowd) -> None:
    engine = crowd.engine
    for seed in range(ROUNDS):
        image = engine.add_image()
        lease = _claimed(engine, engine.crew[Grade.GENERAL][0])
        later(engine, EXPIRED)
        one, other, third = crowd.engines(3)
        outcome, _, _ = together(
            partial(one.answer, lease, passing(lease)), other.tidy, third.tidy, seed=seed, spread_ms=4
        )
        assert outcome is None
        assert [task.stage for task in engine.open_tasks(image)] == [Stage.ATTRIBUTES]
        _check(engine, image)
        engine.clear()


def test_a_late_submit_and_a_new_claim_leave_exactly_one_winner(crowd: Crowd) -> None:
    engine = crowd.engine
    first, second = engine.crew[Grade.GENERAL]
    for turn in turns(ROUNDS):
        image = engine.add_image()
        lease = _claimed(engine, first)
        later(engine, EXPIRED)
        one, other = crowd.engines(2)
        late, claimed = turn.meet(
            partial(one.answer, lease, passing(lease)),
            partial(other.claim, second, Stage.SEGMENTATION),
        )
        if turn.waits is not None:
            assert late == ("lease_lost" if turn.waits == 0 else None)
        if late is None:
            assert not isinstance(claimed, Lease)
        else:
            assert late == "lease_lost"
            assert isinstance(claimed, Lease)
            assert engine.answer(claimed, passing(claimed)) is None
        assert _counted(engine, image) == 1
        _check(engine, image)
        engine.clear()


@pytest.mark.parametrize(
    ("scores", "end"),
    [((5, 4), What.ACCEPTED), ((5, 2), None), ((2, 5), None), ((2, 1), What.BOUNCED)],
)
def test_two_seats_in_one_instant_move_the_image_once(
    crowd: Crowd, scores: tuple[int, int], end: What | None
) -> None:
    engine = crowd.engine
    for seed in range(ROUNDS // 2):
        image = engine.image_at(Stage.SECOND_REVIEW)
        pair = [_claimed(engine, person) for person in engine.crew[Grade.INSPECTOR][:2]]
        answers = [{"score": 5} if score > 3 else rejecting(score=score) for score in scores]
        one, other = crowd.engines(2)
        outcomes = together(
            partial(one.answer, pair[0], answers[0]),
            partial(other.answer, pair[1], answers[1]),
            seed=seed,
            spread_ms=2,
        )
        assert outcomes == [None, None]
        happened = _happened(engine, image)
        adjudications = [task for task in engine.tasks_of(image) if task.stage is Stage.ADJUDICATION]
        if end is None:
            assert [task.cause for task in adjudications] == [Cause.SPLIT]
        else:
            assert adjudications == []
            assert happened.count(end) == 1
        _check(engine, image)
        engine.clear()


@pytest.mark.parametrize("state", [ImageState.WITHDRAWN, ImageState.IN_WORK])
def test_a_submit_and_an_admins_decision_come_one_after_the_other(crowd: Crowd, state: ImageState) -> None:
    engine = crowd.engine
    admin = engine.crew[Grade.ADMIN][0]
    for turn in turns(ROUNDS):
        image = engine.image_at(Stage.SECOND_REVIEW)
        pair = [_claimed(engine, person) for person in engine.crew[Grade.INSPECTOR][:2]]
        assert engine.answer(pair[0], passing(pair[0])) is None
        one, other = crowd.engines(2)
        outcome, decided = turn.meet(
            partial(one.answer, pair[1], rejecting(Stage.STYLES)),
            partial(other.decide, admin, image, state, Stage.SEGMENTATION),
        )
        assert decided is None
        assert outcome in (None, "superseded")
        if turn.waits is not None:
            assert outcome == ("superseded" if turn.waits == 0 else None)
        assert engine.image_state(image) is state
        standings = _standings(engine, pair[1])
        assert standings == [Standing.COUNTED if outcome is None else Standing.SUPERSEDED]
        _check(engine, image)
        engine.clear()


def test_an_unsure_vote_and_a_send_back_of_one_seat_leave_one_open_task(crowd: Crowd) -> None:
    engine = crowd.engine
    experts = engine.crew[Grade.EXPERT]
    for seed in range(ROUNDS):
        image = engine.image_at(Stage.STYLES)
        unsure = _claimed(engine, experts[0])
        assert engine.answer(unsure, {"styles": ["street"], "unsure": True}) is None
        late = _claimed(engine, experts[1])
        later(engine, EXPIRED)
        newer = _claimed(engine, engine.hire(Grade.EXPERT))
        one, other = crowd.engines(2)
        sent_back = {"to": None, "reasons": ["blanket"], "comment": ""}
        outcomes = together(
            partial(one.answer, late, passing(late)),
            partial(other.answer, newer, sent_back, Kind.SEND_BACK),
            seed=seed,
            spread_ms=3,
        )
        assert outcomes == ["lease_lost", None]
        assert [task.stage for task in engine.open_tasks(image)] == [Stage.ATTRIBUTES]
        _check(engine, image)
        engine.clear()


def test_the_same_submit_many_times_at_once_counts_once(crowd: Crowd) -> None:
    engine = crowd.engine
    for seed in range(ROUNDS):
        image = engine.add_image()
        lease = _claimed(engine, engine.crew[Grade.GENERAL][0])
        engines = crowd.engines(3)
        bodies = [passing(lease), passing(lease, 5), {"unusable": "collage"}]
        actions: list[Callable[[], str | None]] = [
            partial(own.answer, lease, body) for own, body in zip(engines, bodies, strict=True)
        ]
        assert together(*actions, seed=seed, spread_ms=2) == [None, None, None]
        assert _standings(engine, lease) == [Standing.COUNTED]
        assert len(engine.open_tasks(image)) == 1
        _check(engine, image)
        engine.clear()


def test_a_submit_and_a_release_never_both_win(crowd: Crowd) -> None:
    engine = crowd.engine
    for seed in range(ROUNDS):
        image = engine.add_image()
        lease = _claimed(engine, engine.crew[Grade.GENERAL][0])
        one, other = crowd.engines(2)
        outcome, _ = together(
            partial(one.answer, lease, passing(lease)),
            partial(other.release, lease, skip=True),
            seed=seed,
            spread_ms=6,
        )
        open_stage = engine.open_tasks(image)[0].stage
        assert open_stage is (Stage.ATTRIBUTES if outcome is None else Stage.SEGMENTATION)
        assert outcome in (None, "lease_lost")
        _check(engine, image)
        engine.clear()


def test_a_submit_by_somebody_being_suspended_counts_whole_or_not_at_all(crowd: Crowd) -> None:
    engine = crowd.engine
    person = engine.crew[Grade.GENERAL][0]
    for seed in range(ROUNDS):
        image = engine.add_image()
        lease = _claimed(engine, person)
        one, other = crowd.engines(2)
        outcome, _ = together(
            partial(one.answer, lease, passing(lease)),
            partial(other.suspend, person),
            seed=seed,
            spread_ms=6,
        )
        if outcome is None:
            assert _counted(engine, image) == 1
        else:
            assert outcome == "lease_lost" or (isinstance(outcome, Problem) and outcome.code == "suspended")
            assert engine.task(lease.task_id).state is TaskState.READY
        _check(engine, image)
        engine.reinstate(person)
        engine.clear()


def test_many_answers_claims_and_upkeep_on_many_images_never_deadlock(crowd: Crowd) -> None:
    engine = crowd.engine
    people = [engine.hire(Grade.REVIEWER) for _ in range(5)]
    images = [engine.add_image() for _ in range(8)]
    admin = engine.crew[Grade.ADMIN][0]

    def work(own: Engine, person: int) -> int:
        done = 0
        for _ in range(8):
            lease = own.claim(person)
            if isinstance(lease, Lease):
                done += own.answer(lease, passing(lease)) is None
        return done

    def steer(own: Engine) -> int:
        for image in images[::3]:
            own.decide(admin, image, ImageState.IN_WORK, Stage.SEGMENTATION)
            own.tidy()
        return 0

    def suspend(own: Engine) -> int:
        for person in people[:2]:
            own.suspend(person)
            own.reinstate(person)
        return 0

    engines = crowd.engines(len(people) + 2)
    workers = [partial(work, own, who) for own, who in zip(engines, people, strict=False)]
    outcomes = together(*workers, partial(steer, engines[-1]), partial(suspend, engines[-2]), spread_ms=5)
    refused = [each for each in outcomes if isinstance(each, Problem)]
    assert all(problem.code == "suspended" for problem in refused)
    for image in images:
        _check(engine, image)


def _claimed(engine: Engine, person: int) -> Lease:
    lease = engine.claim(person)
    assert isinstance(lease, Lease)
    return lease


def _standings(engine: Engine, lease: Lease) -> list[Standing]:
    kept = sa.select(Submission.standing).where(
        Submission.task_id == lease.task_id, Submission.token == lease.token
    )
    with engine.db.read() as conn:
        return list(conn.execute(kept).scalars())


def _counted(engine: Engine, image: int) -> int:
    counted = sa.select(sa.func.count()).where(
        Submission.image_id == image, Submission.standing == Standing.COUNTED
    )
    with engine.db.read() as conn:
        return conn.execute(counted).scalar_one()


def _happened(engine: Engine, image: int) -> list[What]:
    events = sa.select(ImageEvent.what).where(ImageEvent.image_id == image).order_by(ImageEvent.id)
    with engine.db.read() as conn:
        return list(conn.execute(events).scalars())


def _check(engine: Engine, image: int) -> None:
    """What is true of an image whatever raced: one state, one open stage, one answer a task."""
    with engine.db.read() as conn:
        row = conn.execute(sa.select(Image.state, Image.round).where(Image.id == image)).one()
    assert replay(_happened(engine, image)) == tuple(row)
    tasks = engine.tasks_of(image)
    unfinished = [task for task in tasks if task.state in OPEN]
    assert bool(unfinished) == (row.state is ImageState.IN_WORK)
    assert {(task.stage, task.round) for task in unfinished} <= {
        (task.stage, row.round) for task in unfinished[:1]
    }
    assert sum(task.state is TaskState.DONE for task in tasks) == _counted(engine, image)
