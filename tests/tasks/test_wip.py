"""The cap on work in progress: new work pauses, rework and assigned work do not."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crowd.policy import Grade, Policy, PolicyError, Stage, load_policy, parse_policy
from crowd.runtime import Runtime
from crowd.tasks import assignments, leases, wip
from crowd.tasks.assignments import Order, Roster
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.models import Kind
from crowd.tasks.wip import Valve
from tests.tasks.engine import Engine, Lease, _lease, open_database, passing, rejecting


def capped(policy: Policy, **most: int) -> Policy:
    stages = {
        stage: replace(rules, pause_above=most.get(stage.value, 0)) for stage, rules in policy.stages.items()
    }
    return replace(policy, stages=stages)


@pytest.fixture
def engine(rt: Runtime) -> Iterator[Engine]:
    made = Engine(replace(rt, db=open_database(rt.db.url), policy=capped(rt.policy, segmentation=1)))
    for grade in (Grade.GENERAL, Grade.GENERAL, Grade.EXPERT, Grade.ADMIN):
        made.hire(grade)
    yield made
    made.db.close()


def claim(engine: Engine, worker_id: int, stage: Stage | None = None) -> Lease | QueueState:
    with engine.db.begin() as conn:
        claimant = Claimant(worker_id, engine.taxonomy_id)
        more = {"book": engine.book, "roster": Roster(known=0), "valve": Valve(known=0)}
        task = leases.claim(conn, claimant, engine.policy, engine.now, stage, **more)  # type: ignore[arg-type]
        return task if isinstance(task, QueueState) else _lease(conn, task)


def draw(engine: Engine, drawer: int) -> Lease:
    lease = claim(engine, drawer, Stage.SEGMENTATION)
    assert isinstance(lease, Lease)
    assert engine.answer(lease, passing(lease)) is None
    return lease


def test_a_stage_pauses_while_too_much_waits_after_it(engine: Engine) -> None:
    drawer, tagger = engine.crew[Grade.GENERAL]
    for _ in range(4):
        engine.add_image()
    for _ in range(2):
        draw(engine, drawer)
    assert claim(engine, drawer, Stage.SEGMENTATION) is QueueState.PAUSED
    # Whoever may help downstream is sent there.
    given = claim(engine, tagger)
    assert isinstance(given, Lease)
    assert given.stage is Stage.ATTRIBUTES
    assert isinstance(claim(engine, drawer, Stage.SEGMENTATION), Lease)


def test_the_grid_pauses_too(engine: Engine) -> None:
    engine.policy = capped(engine.policy, second_review=1)
    left, right, third = (engine.hire(Grade.INSPECTOR) for _ in range(3))
    (drawer, tagger), (stylist,) = engine.crew[Grade.GENERAL], engine.crew[Grade.EXPERT]
    for _ in range(3):
        engine.add_image()
    for who in (drawer, tagger, stylist, engine.hire(Grade.REVIEWER)):
        for _ in range(3):
            answered(engine, who)
    for _ in range(2):
        answered(engine, left)
        answered(engine, right, rejecting(Stage.STYLES))
    assert claim(engine, third, Stage.SECOND_REVIEW) is QueueState.PAUSED
    assert grid(engine, third, Valve(known=0)) == 0
    assert grid(engine, third, None) == 1


def answered(engine: Engine, who: int, result: dict[str, Any] | None = None) -> None:
    """Somebody answers what they are given, passing by default."""
    lease = engine.claim(who)
    assert isinstance(lease, Lease)
    assert engine.answer(lease, result or passing(lease)) is None


def grid(engine: Engine, worker_id: int, valve: Valve | None) -> int:
    """How many second reviews somebody is given for the grid."""
    with engine.db.begin() as conn:
        claimant = Claimant(worker_id, engine.taxonomy_id)
        return len(leases.claim_batch(conn, claimant, engine.policy, engine.now, 10, valve=valve))


def test_nothing_to_do_is_empty_though_a_cap_is_reached(engine: Engine) -> None:
    for _ in range(2):
        engine.add_image()
        draw(engine, engine.crew[Grade.GENERAL][0])
    assert claim(engine, engine.crew[Grade.GENERAL][0], Stage.SEGMENTATION) is QueueState.EMPTY


def test_rework_and_assigned_work_go_on(engine: Engine) -> None:
    drawer, tagger = engine.crew[Grade.GENERAL]
    first = engine.add_image()
    draw(engine, drawer)
    given = claim(engine, tagger, Stage.ATTRIBUTES)
    assert isinstance(given, Lease)
    for _ in range(4):
        engine.add_image()
    for _ in range(2):
        draw(engine, drawer)
    assert claim(engine, drawer, Stage.SEGMENTATION) is QueueState.PAUSED
    engine.answer(given, {"to": None, "reasons": ["missing"], "comment": ""}, Kind.SEND_BACK)
    rework = claim(engine, drawer, Stage.SEGMENTATION)
    assert isinstance(rework, Lease)
    assert rework.image_id == first
    with engine.db.begin() as conn:
        order = Order(Stage.SEGMENTATION, engine.now + timedelta(hours=1), worker_id=drawer, count=1)
        assignments.assign(conn, order, engine.policy, engine.now, by=engine.crew[Grade.ADMIN][0])
    assert isinstance(claim(engine, drawer, Stage.SEGMENTATION), Lease)


def test_by_default_nothing_pauses_and_nothing_is_looked_at() -> None:
    policy = load_policy()
    assert all(rules.pause_above == 0 for rules in policy.stages.values())
    assert Valve().paused(None, policy) == frozenset()  # type: ignore[arg-type]
    assert wip.over_cap(dict.fromkeys(Stage, 10**6), policy) == frozenset()


def test_a_cap_that_is_no_number_is_named() -> None:
    stages = {
        stage.value: {"grades": ["general"], "lease_seconds": 60, "pause_above": "many"} for stage in Stage
    }
    with pytest.raises(PolicyError) as wrong:
        parse_policy({"stages": stages})
    assert "stages.segmentation.pause_above" in wrong.value.errors
