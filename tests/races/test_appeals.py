"""Appeals that are made, taken up and decided at the same instant."""

from functools import partial

import sqlalchemy as sa

from crowd.core.errors import Problem
from crowd.images.models import ImageState
from crowd.policy import Grade, Stage
from crowd.review.appeals import service
from crowd.review.appeals.models import Appeal, AppealDecision
from crowd.tasks.leases import QueueState
from crowd.tasks.models import Purpose, Submission, Task
from crowd.tiers.rebuild import rebuild
from tests.races.conftest import Crowd
from tests.races.contest import together
from tests.tasks.engine import Engine, Lease, passing, rejecting

ROUNDS = 3


def answered(engine: Engine, worker_id: int, stage: Stage, result: object) -> Lease:
    lease = engine.claim(worker_id, stage)
    assert isinstance(lease, Lease), lease
    assert engine.answer(lease, result) is None
    return lease


def judged(engine: Engine) -> tuple[int, int]:
    """An accepted image whose styles were changed after a rejection: the author and the task."""
    image_id = engine.image_at(Stage.FIRST_REVIEW)
    reviewer = engine.crew[Grade.REVIEWER][0]
    answered(engine, reviewer, Stage.FIRST_REVIEW, rejecting(Stage.STYLES, score=3))
    with engine.db.read() as conn:
        found = sa.select(Submission.worker_id, Submission.task_id).where(
            Submission.image_id == image_id, Submission.stage == Stage.STYLES
        )
        author, task_id = conn.execute(found).one()
    answered(engine, author, Stage.STYLES, {"styles": ["retro"], "unsure": False})
    while engine.image_state(image_id) is not ImageState.ACCEPTED:
        assert engine.pass_one()
    return author, task_id


def appealing(engine: Engine, author: int, task_id: int) -> object:
    with engine.db.begin() as conn:
        return service.appeal(conn, author, task_id, "it was right", engine.policy, engine.now)


def settling(engine: Engine, appeal_id: int, admin: int) -> object:
    with engine.db.begin() as conn:
        return service.settle(
            conn,
            appeal_id,
            admin_id=admin,
            upheld=True,
            reason="seen",
            policy=engine.policy,
            now=engine.now,
        )


def count(engine: Engine, model: type[Appeal] | type[AppealDecision]) -> int:
    with engine.db.read() as conn:
        return conn.execute(sa.select(sa.func.count()).select_from(model)).scalar_one()


def test_of_two_appeals_about_one_answer_at_once_one_is_made(crowd: Crowd) -> None:
    for seed in range(ROUNDS):
        author, task_id = judged(crowd.engine)
        one, other = crowd.engines(2)
        made = together(
            partial(appealing, one, author, task_id),
            partial(appealing, other, author, task_id),
            seed=seed,
            spread_ms=3,
        )
        refused = [each.code for each in made if isinstance(each, Problem)]
        assert refused == ["already_appealed"]
        assert count(crowd.engine, Appeal) == seed + 1
        umpire = crowd.engine.hire(Grade.EXPERT)
        lease = crowd.engine.claim(umpire, Stage.ADJUDICATION)
        assert isinstance(lease, Lease)
        assert crowd.engine.answer(lease, passing(lease)) is None
        crowd.engine.suspend(umpire)


def test_of_two_who_claim_at_once_one_gets_the_seat_and_its_verdict_decides_once(crowd: Crowd) -> None:
    engine = crowd.engine
    for seed in range(ROUNDS):
        author, task_id = judged(engine)
        appealing(engine, author, task_id)
        umpires = [engine.hire(Grade.EXPERT) for _ in range(2)]
        one, other = crowd.engines(2)
        leases = together(
            partial(one.claim, umpires[0], Stage.ADJUDICATION),
            partial(other.claim, umpires[1], Stage.ADJUDICATION),
            seed=seed,
            spread_ms=3,
        )
        (seat,) = [each for each in leases if isinstance(each, Lease)]
        assert [each for each in leases if not isinstance(each, Lease)] == [QueueState.EMPTY]
        together(
            partial(one.answer, seat, passing(seat)),
            partial(other.answer, seat, passing(seat)),
            seed=seed,
            spread_ms=3,
        )
        for umpire in umpires:
            engine.suspend(umpire)
        assert count(engine, AppealDecision) == seed + 1
    with engine.db.read() as conn:
        seats = sa.select(sa.func.count()).where(Task.purpose == Purpose.APPEAL)
        assert conn.execute(seats).scalar_one() == ROUNDS
    assert rebuild(engine.db, engine.policy).changed == 0


def test_of_two_admins_who_decide_at_once_one_does(crowd: Crowd) -> None:
    engine = crowd.engine
    admins = [*engine.crew[Grade.ADMIN], engine.hire(Grade.ADMIN)]
    for seed in range(ROUNDS):
        author, task_id = judged(engine)
        appealing(engine, author, task_id)
        for one in [*engine.crew[Grade.EXPERT], *engine.crew[Grade.INSPECTOR]]:
            engine.suspend(one)
        first, second = crowd.engines(2)
        with engine.db.read() as conn:
            appeal_id = conn.execute(sa.select(sa.func.max(Appeal.id))).scalar_one()
        made = together(
            partial(settling, first, appeal_id, admins[0]),
            partial(settling, second, appeal_id, admins[1]),
            seed=seed,
            spread_ms=3,
        )
        assert [each.code for each in made if isinstance(each, Problem)] == ["already_decided"]
        for one in [*engine.crew[Grade.EXPERT], *engine.crew[Grade.INSPECTOR]]:
            engine.reinstate(one)
    assert rebuild(engine.db, engine.policy).changed == 0
