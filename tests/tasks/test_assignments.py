"""Assignments: work kept for a person or group, found by them alone, and everybody's after the deadline."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from crowd.accounts import groups
from crowd.accounts.models import GroupKind
from crowd.core.errors import Conflict, Problem, Unprocessable
from crowd.images.models import Batch, Image, ImageState
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import assignment_queries, assignments, counts, leases, progress
from crowd.tasks.assignments import Order, Roster
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.models import Assignment, Kind, Task, TaskState
from tests.races.contest import together
from tests.tasks.engine import Engine, Lease, _lease, later, open_database, passing, rejecting


@pytest.fixture
def engine(rt: Runtime) -> Iterator[Engine]:
    made = Engine(replace(rt, db=open_database(rt.db.url)))
    for grade, count in {
        Grade.GENERAL: 3,
        Grade.REVIEWER: 2,
        Grade.EXPERT: 1,
        Grade.INSPECTOR: 3,
        Grade.ADMIN: 1,
    }.items():
        for _ in range(count):
            made.hire(grade)
    yield made
    made.db.close()


def assign(engine: Engine, *, hours: float = 1, **order: object) -> int:
    values = {"stage": Stage.SEGMENTATION, "deadline": engine.now + timedelta(hours=hours), **order}
    with engine.db.begin() as conn:
        asked = Order(**values)  # type: ignore[arg-type]
        return assignments.assign(conn, asked, engine.policy, engine.now, by=engine.crew[Grade.ADMIN][0])


def end(engine: Engine, assignment_id: int) -> None:
    with engine.db.begin() as conn:
        assignments.end(conn, assignment_id, engine.now, by=None, reason="plans changed")


def claim(engine: Engine, worker_id: int, stage: Stage | None = None) -> Lease | QueueState:
    """A claim by a process that looks at assignments each time."""
    with engine.db.begin() as conn:
        task = leases.claim(
            conn,
            Claimant(worker_id, engine.taxonomy_id),
            engine.policy,
            engine.now,
            stage,
            book=engine.book,
            roster=Roster(known=0),
        )
        return task if isinstance(task, QueueState) else _lease(conn, task)


def upkeep(engine: Engine) -> int:
    return assignments.upkeep(engine.db, engine.policy, engine.now)


def states(engine: Engine) -> dict[TaskState, int]:
    with engine.db.read() as conn:
        rows = conn.execute(sa.select(Task.state, sa.func.count()).group_by(Task.state)).all()
    return {row[0]: row[1] for row in rows}


def shown(engine: Engine, assignment_id: int) -> dict[str, object]:
    with engine.db.read() as conn:
        rows = assignment_queries.listed(conn, after=None, limit=1, only=assignment_id)
        [found] = assignments.shown(conn, rows)
    return found


def ready(engine: Engine, stage: Stage = Stage.SEGMENTATION) -> int:
    with engine.db.read() as conn:
        return progress.progress(conn, engine.policy, engine.now)[stage].ready


def exact(engine: Engine) -> bool:
    with engine.db.read() as conn:
        return counts.differences(conn) == []


def test_assigned_work_comes_to_its_holder_and_to_nobody_else(engine: Engine) -> None:
    images = [engine.add_image() for _ in range(3)]
    mine, other, _ = engine.crew[Grade.GENERAL]
    assignment = assign(engine, worker_id=mine, count=2)
    assert ready(engine) == 3
    given = claim(engine, other)
    assert isinstance(given, Lease)
    assert given.image_id == images[2]
    assert claim(engine, other) is QueueState.LEASED
    first = claim(engine, mine)
    assert isinstance(first, Lease)
    assert first.image_id == images[0]
    assert engine.answer(first, passing(first)) is None
    found = shown(engine, assignment)
    assert (found["taken"], found["done"], found["waiting"], found["leased"]) == (2, 1, 1, 0)
    assert exact(engine)


def test_rework_comes_before_assigned_work_and_that_before_all_else(engine: Engine) -> None:
    mine = engine.crew[Grade.GENERAL][0]
    rework = engine.add_image()
    lease = engine.claim(mine)
    assert isinstance(lease, Lease)
    engine.answer(lease, passing(lease))
    back = engine.claim(engine.crew[Grade.GENERAL][1], Stage.ATTRIBUTES)
    assert isinstance(back, Lease)
    waiting = [engine.add_image() for _ in range(2)]
    assign(engine, worker_id=mine, count=1)
    # An image further downstream, which would come first by itself.
    engine.answer(back, {"to": None, "reasons": ["missing"], "comment": ""}, Kind.SEND_BACK)
    order = [claim(engine, mine) for _ in range(3)]
    assert [each.image_id for each in order if isinstance(each, Lease)] == [rework, *waiting]


def test_a_group_shares_what_is_assigned_to_it_as_long_as_people_belong(engine: Engine) -> None:
    one, two, outside = engine.crew[Grade.GENERAL]
    with engine.db.begin() as conn:
        school = groups.found(conn, GroupKind.SCHOOL, "Hill School", by=None).id
        groups.join(conn, school, [one, two], by=None, reason="")
    for _ in range(3):
        engine.add_image()
    assign(engine, group_id=school)
    assert isinstance(claim(engine, one), Lease)
    assert isinstance(claim(engine, two), Lease)
    assert claim(engine, outside) is QueueState.LEASED
    with engine.db.begin() as conn:
        groups.leave(conn, school, two, by=None, reason="")
    assert claim(engine, two) is QueueState.LEASED
    assert isinstance(claim(engine, one), Lease)


def group_of(engine: Engine, *people: int) -> int:
    with engine.db.begin() as conn:
        school: int = groups.found(conn, GroupKind.SCHOOL, "Hill School", by=None).id
        groups.join(conn, school, people, by=None, reason="")
    return school


def test_a_group_without_anybody_who_works_at_the_stage_is_refused(engine: Engine) -> None:
    engine.add_image()
    suspended = engine.hire(Grade.GENERAL)
    school = group_of(engine, engine.crew[Grade.EXPERT][0], engine.hire(Grade.TRAINEE), suspended)
    engine.suspend(suspended)
    with pytest.raises(Unprocessable) as refused:
        assign(engine, group_id=school)
    assert list(refused.value.errors or ()) == ["group"]


def test_what_nobody_of_a_group_may_take_is_not_kept_for_it(engine: Engine) -> None:
    reviewer, other = engine.crew[Grade.REVIEWER]
    own = engine.add_image()
    lease = engine.claim(reviewer, Stage.SEGMENTATION)
    assert isinstance(lease, Lease)
    engine.answer(lease, passing(lease))
    engine.lead(own, Stage.FIRST_REVIEW)
    assign(engine, group_id=group_of(engine, reviewer), stage=Stage.FIRST_REVIEW)
    assert TaskState.ASSIGNED not in states(engine)
    assert isinstance(claim(engine, other, Stage.FIRST_REVIEW), Lease)


def test_what_nobody_of_a_group_may_take_any_more_comes_back_before_the_deadline(engine: Engine) -> None:
    one, two, outside = engine.crew[Grade.GENERAL]
    school = group_of(engine, one, two)
    for _ in range(3):
        engine.add_image()
    assignment = assign(engine, group_id=school, hours=24 * 300)
    engine.suspend(one)
    upkeep(engine)
    assert states(engine) == {TaskState.ASSIGNED: 3}, "the other one may"
    with engine.db.begin() as conn:
        groups.leave(conn, school, two, by=None, reason="")
    assert claim(engine, outside) is QueueState.LEASED
    assert upkeep(engine) == 3
    assert states(engine) == {TaskState.READY: 3}
    assert shown(engine, assignment)["returned"] == 3
    assert upkeep(engine) == 0
    assert isinstance(claim(engine, outside), Lease)
    assert exact(engine)


def test_the_deadline_gives_work_back_though_searches_have_gone_on(engine: Engine) -> None:
    mine, other, _ = engine.crew[Grade.GENERAL]
    kept = engine.add_image()
    assignment = assign(engine, worker_id=mine, count=1)
    later(engine, 200)
    beyond = engine.add_image()
    taken = engine.claim(other)
    assert isinstance(taken, Lease)
    assert taken.image_id == beyond
    engine.answer(taken, passing(taken))
    later(engine, 3600)
    # Nobody finds it in time by the assignment, though nothing has tidied up yet.
    assert claim(engine, mine, Stage.SEGMENTATION) is QueueState.LEASED
    upkeep(engine)
    assert shown(engine, assignment)["end_reason"] == "its deadline came"
    assert shown(engine, assignment)["returned"] == 1
    # Through marks that lie behind it, as `engine.claim` has them.
    found = engine.claim(other, Stage.SEGMENTATION)
    assert isinstance(found, Lease)
    assert found.image_id == kept
    assert exact(engine)


def test_a_deadline_during_a_lease_leaves_the_lease_alone(engine: Engine) -> None:
    mine, other, _ = engine.crew[Grade.GENERAL]
    images = [engine.add_image() for _ in range(2)]
    assignment = assign(engine, worker_id=mine, hours=0.1)
    held = [claim(engine, mine), claim(engine, mine)]
    later(engine, 600)
    upkeep(engine)
    assert states(engine) == {TaskState.LEASED: 2}
    assert isinstance(held[0], Lease)
    assert engine.answer(held[0], passing(held[0])) is None
    assert isinstance(held[1], Lease)
    later(engine, 2000)
    engine.tidy()
    # It ran out after the end, and is everybody's.
    found = engine.claim(other, Stage.SEGMENTATION)
    assert isinstance(found, Lease)
    assert found.image_id == images[1]
    assert shown(engine, assignment)["done"] == 1


def test_what_is_let_go_while_the_assignment_runs_stays_assigned(engine: Engine) -> None:
    mine, other, _ = engine.crew[Grade.GENERAL]
    engine.add_image()
    assign(engine, worker_id=mine, hours=10)
    given = claim(engine, mine)
    assert isinstance(given, Lease)
    engine.release(given)
    assert states(engine) == {TaskState.ASSIGNED: 1}
    again = claim(engine, mine)
    assert isinstance(again, Lease)
    later(engine, 2000)
    engine.tidy()
    assert states(engine) == {TaskState.ASSIGNED: 1}
    assert claim(engine, other) is QueueState.LEASED
    # Late, and nobody else has it.
    assert engine.answer(again, passing(again)) is None
    assert exact(engine)


def test_a_bounce_or_decision_closes_assigned_tasks_too(engine: Engine) -> None:
    engine.add_image()
    assign(engine, worker_id=engine.crew[Grade.GENERAL][0])
    with engine.db.read() as conn:
        image = conn.execute(sa.select(Task.image_id)).scalar_one()
    engine.decide(engine.crew[Grade.ADMIN][0], image, ImageState.WITHDRAWN, Stage.SEGMENTATION)
    assert states(engine) == {TaskState.CLOSED: 1}
    assert exact(engine)


def test_an_assignment_makes_nobody_review_their_own_labels(engine: Engine) -> None:
    reviewer, other = engine.crew[Grade.REVIEWER]
    own = engine.add_image()
    lease = engine.claim(reviewer, Stage.SEGMENTATION)
    assert isinstance(lease, Lease)
    engine.answer(lease, passing(lease))
    engine.lead(own, Stage.FIRST_REVIEW)
    with engine.db.begin() as conn:
        school = groups.found(conn, GroupKind.SCHOOL, "Hill School", by=None).id
        groups.join(conn, school, [reviewer, other], by=None, reason="")
    assign(engine, worker_id=reviewer, stage=Stage.FIRST_REVIEW)
    # Not even kept for them.
    assert TaskState.ASSIGNED not in states(engine)
    assign(engine, group_id=school, stage=Stage.FIRST_REVIEW)
    assert states(engine)[TaskState.ASSIGNED] == 1
    assert not isinstance(claim(engine, reviewer, Stage.FIRST_REVIEW), Lease)
    given = claim(engine, other, Stage.FIRST_REVIEW)
    assert isinstance(given, Lease)
    assert engine.answer(given, rejecting(Stage.STYLES)) is None


def test_a_batch_is_assigned_whole_and_what_opens_later_too(engine: Engine) -> None:
    with engine.db.begin() as conn:
        values = {"name": "spring", "priority": 0, "created_at": engine.now}
        batch = conn.execute(sa.insert(Batch).values(values).returning(Batch.id)).scalar_one()
    inside = [engine.add_image() for _ in range(3)]
    engine.add_image()
    with engine.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id.in_(inside[:2])).values(batch_id=batch))
    mine = engine.crew[Grade.GENERAL][0]
    assignment = assign(engine, worker_id=mine, batch_id=batch)
    assert (shown(engine, assignment)["waiting"], states(engine)[TaskState.READY]) == (2, 2)
    with engine.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id == inside[2]).values(batch_id=batch))
    later(engine, 70)
    upkeep(engine)
    assert shown(engine, assignment)["waiting"] == 3


def test_many_tasks_are_kept_page_by_page_up_to_the_count(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "PAGE", 3)
    for _ in range(11):
        engine.add_image()
    assignment = assign(engine, worker_id=engine.crew[Grade.GENERAL][0], count=8)
    assert shown(engine, assignment)["waiting"] == 3
    assert upkeep(engine) == 5
    assert states(engine) == {TaskState.ASSIGNED: 8, TaskState.READY: 3}
    end(engine, assignment)
    upkeep(engine)
    assert states(engine) == {TaskState.READY: 11}
    assert shown(engine, assignment)["returned"] == 8
    assert exact(engine)


def test_whoever_is_suspended_or_regraded_keeps_no_assignment(engine: Engine) -> None:
    for _ in range(2):
        engine.add_image()
    one, two, _ = engine.crew[Grade.GENERAL]
    assign(engine, worker_id=one, count=1)
    assign(engine, worker_id=two, count=1)
    assert states(engine) == {TaskState.ASSIGNED: 2}
    held = claim(engine, one)
    assert isinstance(held, Lease)
    engine.suspend(one)
    engine.regrade(two, Grade.EXPERT)
    assert states(engine) == {TaskState.READY: 2}


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "worker"),
        ({"worker_id": 1, "group_id": 1}, "worker"),
        ({"worker_id": 9999}, "worker"),
        ({"worker_id": 1, "stage": Stage.SECOND_REVIEW}, "stage"),
        ({"group_id": 9999}, "group"),
        ({"worker_id": 1, "batch_id": 9999}, "batch"),
        ({"worker_id": 1, "hours": -1}, "deadline"),
        ({"worker_id": 1, "hours": 24 * 400}, "deadline"),
    ],
)
def test_an_order_that_cannot_be_names_its_field(
    engine: Engine, order: dict[str, object], field: str
) -> None:
    with pytest.raises(Unprocessable) as refused:
        assign(engine, **order)  # type: ignore[arg-type]
    assert refused.value.errors is not None
    assert list(refused.value.errors) == [field]


def test_an_end_comes_once(engine: Engine) -> None:
    engine.add_image()
    assignment = assign(engine, worker_id=engine.crew[Grade.GENERAL][0])
    end(engine, assignment)
    with pytest.raises(Conflict):
        end(engine, assignment)
    with pytest.raises(Problem):
        end(engine, 9999)


def _assign_in(engine: Engine, worker_id: int) -> int:
    return assign(engine, worker_id=worker_id, count=6)


def test_two_admins_assign_the_same_tasks_to_one_each(engine: Engine) -> None:
    people = engine.crew[Grade.GENERAL][:2]
    others = [engine.again(), engine.again()]
    for seed in range(6):
        for _ in range(8):
            engine.add_image()
        for other in others:
            other.now = engine.now
        made = together(
            *(partial(_assign_in, own, who) for own, who in zip(others, people, strict=True)),
            seed=seed,
            spread_ms=3,
        )
        upkeep(engine)
        with engine.db.read() as conn:
            rows = conn.execute(sa.select(Assignment.taken).where(Assignment.id.in_(made))).scalars().all()
        assert sum(rows) == 8 == states(engine)[TaskState.ASSIGNED]
        for assignment in made:
            assert isinstance(assignment, int)
            end(engine, assignment)
        upkeep(engine)
        engine.clear()
    for other in others:
        other.db.close()


def test_a_claim_and_an_assignment_at_once_take_a_task_once(engine: Engine) -> None:
    mine, other, _ = engine.crew[Grade.GENERAL]
    one, two = engine.again(), engine.again()
    for seed in range(10):
        engine.add_image()
        one.now = two.now = engine.now
        made, given = together(
            partial(_assign_in, one, mine),
            partial(claim, two, other),
            seed=seed,
            spread_ms=2,
        )
        assert isinstance(made, int)
        waiting = shown(engine, made)["waiting"]
        assert waiting == (0 if isinstance(given, Lease) else 1), given
        end(engine, made)
        engine.clear()
    for each in (one, two):
        each.db.close()


def test_an_end_while_a_lease_is_given_back_loses_no_task(engine: Engine) -> None:
    mine = engine.crew[Grade.GENERAL][0]
    one, two = engine.again(), engine.again()
    for seed in range(10):
        engine.add_image()
        one.now = two.now = engine.now
        made = _assign_in(engine, mine)
        held = claim(engine, mine)
        assert isinstance(held, Lease)
        together(partial(end, one, made), partial(two.release, held), seed=seed, spread_ms=2)
        upkeep(engine)
        [task] = engine.open_tasks()
        assert task.state is TaskState.READY
        engine.clear()
    for each in (one, two):
        each.db.close()
