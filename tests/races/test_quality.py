"""Evidence, proposals and fits that come at the same instant."""

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from crowd.core.errors import Problem
from crowd.policy import Grade, Stage
from crowd.tiers import proposals
from crowd.tiers.evidence import record
from crowd.tiers.proposal_queries import ProposalRow
from crowd.tiers.quality_models import EvidenceRow, Proposal, ProposalState, ScoreRow
from crowd.tiers.rebuild import rebuild, refit
from crowd.tiers.score import Evidence, Kind
from tests.races.conftest import Crowd
from tests.races.contest import together
from tests.tasks.engine import Engine, Lease, actor, passing

ROUNDS = 8


def gold(engine: Engine, worker: int, stage: Stage, value: float, weight: float = 1.0) -> Evidence:
    return Evidence(
        worker_id=worker,
        stage=stage,
        kind=Kind.GOLD,
        value=value,
        weight=weight,
        task_id=1,
        at=engine.now,
    )


def recording(engine: Engine, *found: Evidence) -> None:
    with engine.db.begin() as conn:
        record(conn, engine.policy, list(found))


def counted(engine: Engine) -> int:
    with engine.db.read() as conn:
        return conn.execute(sa.select(sa.func.sum(ScoreRow.n))).scalar_one() or 0


def test_scores_locked_crosswise_never_lock_up_and_lose_nothing(crowd: Crowd) -> None:
    one, other = crowd.engine.crew[Grade.GENERAL]
    stages = (Stage.SEGMENTATION, Stage.ATTRIBUTES)
    keys = [(worker, stage) for worker in (one, other) for stage in stages]
    for seed in range(ROUNDS):
        first, second, third = crowd.engines(3)
        forwards = [gold(first, *key, 0.3) for key in keys]
        together(
            partial(recording, first, *forwards),
            partial(recording, second, *reversed(forwards)),
            partial(recording, third, forwards[1], forwards[2]),
            seed=seed,
            spread_ms=3,
        )
    assert counted(crowd.engine) == ROUNDS * 10
    assert rebuild(crowd.engine.db, crowd.engine.policy).changed == 0


def test_evidence_that_comes_in_while_all_is_fitted_anew_is_neither_lost_nor_counted_twice(
    crowd: Crowd,
) -> None:
    worker = crowd.engine.crew[Grade.GENERAL][0]
    judge = crowd.engine.crew[Grade.REVIEWER][0]
    for seed in range(ROUNDS):
        fitting, first, second = crowd.engines(3)
        review = Evidence(
            worker_id=worker,
            stage=Stage.ATTRIBUTES,
            kind=Kind.REVIEW,
            value=0.8,
            weight=1 / 3,
            task_id=seed,
            judge_id=judge,
            score=4,
            at=crowd.engine.now,
        )
        actions: list[Callable[[], object]] = [
            lambda: refit(fitting.db, fitting.policy, fitting.now),  # noqa: B023
            partial(recording, first, review),
            partial(recording, second, review),
        ]
        together(*actions, seed=seed, spread_ms=6)
    assert counted(crowd.engine) == 2 * ROUNDS
    assert rebuild(crowd.engine.db, crowd.engine.policy).changed == 0


def test_both_seats_answered_at_once_count_each_once(crowd: Crowd) -> None:
    engine = crowd.engine
    for seed in range(3):
        engine.image_at(Stage.SECOND_REVIEW)
        left, right = (engine.claim(one, Stage.SECOND_REVIEW) for one in engine.crew[Grade.INSPECTOR][:2])
        assert isinstance(left, Lease)
        assert isinstance(right, Lease)
        one, other = crowd.engines(2)
        answers = together(
            partial(one.answer, left, passing(left)),
            partial(other.answer, right, passing(right)),
            seed=seed,
            spread_ms=3,
        )
        assert answers == [None, None]
    with engine.db.read() as conn:
        compared = sa.select(sa.func.count()).where(EvidenceRow.against.is_not(None))
        assert conn.execute(compared).scalar_one() == 3 * 3
    assert rebuild(engine.db, engine.policy).changed == 0


def test_of_two_who_look_at_once_one_proposes(crowd: Crowd) -> None:
    for seed in range(ROUNDS):
        worker = crowd.engine.hire(Grade.GENERAL)
        recording(crowd.engine, *[gold(crowd.engine, worker, Stage.ATTRIBUTES, 1.0) for _ in range(60)])
        one, other = crowd.engines(2)
        made = together(
            *[partial(proposals.look, each.db, each.policy, each.now) for each in (one, other)], seed=seed
        )
        assert sum(each.proposed for each in made if not isinstance(each, Problem)) == 1
    assert len(_open(crowd.engine)) == ROUNDS


def test_of_two_admins_who_decide_at_once_one_does(crowd: Crowd) -> None:
    crowd.engine.hire(Grade.ADMIN)
    first, second = crowd.engine.crew[Grade.ADMIN]
    for seed in range(ROUNDS):
        worker = crowd.engine.hire(Grade.GENERAL)
        recording(crowd.engine, *[gold(crowd.engine, worker, Stage.ATTRIBUTES, 1.0) for _ in range(60)])
        proposals.look(crowd.engine.db, crowd.engine.policy, crowd.engine.now)
        (proposal,) = _open(crowd.engine)
        one, other = crowd.engines(2)
        decide = proposals.confirm if seed % 2 else proposals.dismiss
        results = together(
            partial(_decide, one, first, proposal, proposals.confirm),
            partial(_decide, other, second, proposal, decide),
            seed=seed,
            spread_ms=3,
        )
        refused = [each.code for each in results if isinstance(each, Problem)]
        assert len(refused) == 1
        assert refused[0] in ("already_decided", "outdated")
        assert _open(crowd.engine) == []


def _decide(engine: Engine, admin: int, proposal: int, decide: Callable[..., ProposalRow]) -> ProposalRow:
    with engine.db.begin() as conn:
        return decide(conn, proposal, by=actor(conn, admin), reason="because", at=engine.now)


def _open(engine: Engine) -> list[int]:
    with engine.db.read() as conn:
        query = sa.select(Proposal.id).where(Proposal.state == ProposalState.OPEN)
        return list(conn.execute(query).scalars())
