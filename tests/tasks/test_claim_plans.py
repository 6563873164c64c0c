"""What a claim reads does not grow with the queue: every statement's plan and pages, at two sizes.

The databases are those of `benchmarks.queue`, small: a realistic mix of stages, states, people and rounds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from benchmarks.queue import people
from benchmarks.queue.build import add_variant, pinned_person
from benchmarks.queue.fates import HALF_REVIEWED, VARIANTS, Fate
from benchmarks.queue.plans import Bill, explain, explain_claim
from crowd.app import create_app
from crowd.core import clock
from crowd.core.config import load_settings
from crowd.core.db import AnyRow
from crowd.policy import Grade, Stage, load_policy
from crowd.runtime import build_runtime
from crowd.tasks import leases
from crowd.tasks.assignments import Roster
from crowd.tasks.leases import Claimant, QueueState
from crowd.tasks.marks import MarkBook
from crowd.tasks.models import Assignment, Task, TaskState
from tests.tasks.places import MOST_READ, Place, assert_flat, clean, joins, shapes

GRADES = (Grade.GENERAL, Grade.SEMI_EXPERT, Grade.EXPERT, Grade.REVIEWER, Grade.INSPECTOR)
# Labels and verdicts of one image that a request may put in order.
ONE_IMAGES_ROWS = 20


@pytest.fixture(scope="module", params=["sampled", "unsampled"])
def places(request: pytest.FixtureRequest, built_places: tuple[Place, Place]) -> tuple[Place, Place]:
    """Both, with the planner's statistics as they are, or so poor that what is rare seems not to exist.

    Among millions of tasks the few that are leased or reserved are often in no sample of ANALYZE.
    """
    target = 100 if request.param == "sampled" else 1
    for place in built_places:
        with place.db.begin() as conn:
            conn.exec_driver_sql(f"SET LOCAL default_statistics_target = {target}")
            conn.exec_driver_sql("ANALYZE tasks")
    return built_places


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("grade", GRADES)
def test_a_claim_of_any_grade_reads_no_more_in_a_longer_queue(
    places: tuple[Place, Place], grade: Grade, generic: bool
) -> None:
    worker = people.of_grade(places[0].built.seed, grade)[0].id
    small, large = (place.claim(worker, generic=generic) for place in places)
    assert_flat(small, large)
    assert joins(large) == []


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("fate", VARIANTS, ids=lambda fate: fate.name.replace(" ", "-"))
def test_own_or_half_reviewed_work_at_the_head_costs_a_claim_nothing(
    places: tuple[Place, Place], fate: Fate, generic: bool
) -> None:
    worker = pinned_person(places[0].built.seed, fate).id
    small, large = (place.claim(worker, generic=generic) for place in places)
    assert_flat(small, large)
    assert joins(large) == []


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("grade", [Grade.GENERAL, Grade.REVIEWER, Grade.INSPECTOR])
def test_who_may_not_is_asked_for_each_task_whatever_the_planner_prefers(
    built_places: tuple[Place, Place], grade: Grade, generic: bool
) -> None:
    """Where it could choose, it chose now and then to read all parts that people have, to sort out theirs."""
    worker = people.of_grade(built_places[0].built.seed, grade)[0].id
    grids = [Place.claim_batch] if grade is Grade.INSPECTOR else []
    for ask in (Place.claim, *grids):
        usual = ask(built_places[1], worker, generic=generic)
        leaning = ask(built_places[1], worker, generic=generic, leaning="enable_nestloop")
        assert joins(leaning) == []
        assert shapes(leaning) == shapes(usual)


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("fate", [None, *VARIANTS], ids=lambda fate: str(fate and fate.name))
def test_to_move_marks_reads_no_more_in_a_longer_queue(
    places: tuple[Place, Place], fate: Fate | None, generic: bool
) -> None:
    """Also where the first 2,000 tasks are closed to somebody, ten times as many as in the shorter queue."""
    seed = places[0].built.seed
    person = people.of_grade(seed, Grade.SEMI_EXPERT)[0] if fate is None else pinned_person(seed, fate)
    stage = Stage.SECOND_REVIEW if fate is HALF_REVIEWED else Stage.FIRST_REVIEW
    small, large = (place.move_marks(person.id, stage, generic=generic) for place in places)
    assert {"ix_tasks_ready"} <= {node.index for plan in large.plans for node in plan.nodes}
    assert_flat(small, large)
    assert joins(large) == []


@pytest.mark.parametrize("grade", GRADES)
def test_all_that_a_request_for_a_task_reads_is_no_more_in_a_longer_queue(
    built_places: tuple[Place, Place], tmp_path: Path, grade: Grade
) -> None:
    person = people.of_grade(built_places[0].built.seed, grade)[1]
    bills = []
    for place in built_places:
        settings = load_settings({"DATABASE_URL": place.built.url, "CROWD_DATA_DIR": str(tmp_path)})
        rt = replace(build_runtime(settings), db=place.db)
        bills.append(place.request(create_app(rt=rt).test_client(), person.token))
    read = {node.relation for plan in bills[1].plans for node in plan.nodes}
    assert {"api_tokens", "tasks", "images", "labels"} <= read
    assert_flat(*bills, sorted_rows=ONE_IMAGES_ROWS)


@pytest.mark.parametrize("fate", VARIANTS, ids=lambda fate: fate.name.replace(" ", "-"))
def test_a_search_from_the_head_steps_over_each_task_once(
    built_places: tuple[Place, Place], fate: Fate
) -> None:
    """What the first search of somebody costs to whom the head is closed, or once an hour."""
    place = built_places[1]
    ahead = add_variant(place.built, fate)
    stage = Stage.SECOND_REVIEW if fate is HALF_REVIEWED else Stage.FIRST_REVIEW
    worker = pinned_person(place.built.seed, fate).id
    book = MarkBook()

    def search(conn: Connection) -> Sequence[AnyRow]:
        return leases._Search(conn, worker, [stage], clock.now(), book)._new(stage, 1)

    found, first = explain(place.db, search)
    assert found
    of_tasks = [node for plan in first.plans for node in plan.nodes if node.relation == "tasks"]
    assert ahead <= sum(node.removed for node in of_tasks) <= ahead + MOST_READ
    # The task itself, and one look-up that is enough to know that it is closed.
    assert first.buffers <= ahead * (1 + 4) + MOST_READ
    assert book.of(worker, stage).by_priority


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
def test_a_grid_reads_no_more_in_a_longer_queue(places: tuple[Place, Place], generic: bool) -> None:
    worker = people.of_grade(places[0].built.seed, Grade.INSPECTOR)[0].id
    small, large = (place.claim_batch(worker, generic=generic) for place in places)
    assert_flat(small, large)
    assert joins(large) == []


@pytest.mark.parametrize("stage", [Stage.FIRST_REVIEW, Stage.SEGMENTATION])
def test_somebody_for_whom_a_stage_holds_nothing_reads_no_more_in_a_longer_queue(
    built_places: tuple[Place, Place], stage: Stage
) -> None:
    worker = people.of_grade(built_places[0].built.seed, Grade.REVIEWER)[3].id
    bills = []
    for place in built_places:
        with closed_to(place, worker, stage):
            bills.append(place.search_in_vain(worker, stage))
    # Marks are not made for a few tasks at a priority, nor among what was bounced.
    assert_flat(*bills, most_removed=MOST_READ)


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
def test_much_assigned_work_costs_its_holder_and_others_no_more(
    built_places: tuple[Place, Place], generic: bool
) -> None:
    seed = built_places[0].built.seed
    holder, other = (person.id for person in people.of_grade(seed, Grade.GENERAL)[:2])
    bills: dict[int, list[Bill]] = {holder: [], other: []}
    for place in built_places:
        with assigned_to(place, holder) as assignment:
            for worker, found_bills in bills.items():
                roster = Roster(known=3600.0)
                # Who holds assignments is read once in two seconds, not with each claim.
                place.claim(worker, roster=roster)
                found_bills.append(place.claim(worker, generic=generic, roster=roster))
                found, _ = explain_claim(
                    place.db,
                    Claimant(worker, place.built.taxonomy_id),
                    load_policy(),
                    MarkBook(),
                    Stage.ATTRIBUTES,
                    roster=Roster(),
                )
                assert not isinstance(found, QueueState)
                assert (found.assignment_id == assignment) == (worker == holder)
    for small, large in bills.values():
        assert_flat(small, large)


def test_without_an_assignment_a_claim_runs_the_statements_it_ran_before(
    built_places: tuple[Place, Place],
) -> None:
    place = built_places[0]
    worker = people.of_grade(place.built.seed, Grade.GENERAL)[0].id
    roster = Roster(known=3600.0)
    # Who holds assignments is read once in two seconds, not with each claim.
    place.claim(worker, roster=roster)
    known = place.claim(worker, roster=roster)
    unknown = place.claim(worker)
    assert [plan.name for plan in known.plans] == [plan.name for plan in unknown.plans]
    assert known.buffers <= unknown.buffers + 1


@contextmanager
def assigned_to(place: Place, worker_id: int) -> Iterator[int]:
    """Every second new task for attributes is assigned to this person, for the time of the block."""
    queue = (Task.stage == Stage.ATTRIBUTES, Task.id % 2 == 0, Task.bounced == sa.false())
    now = clock.now()
    values = {"stage": Stage.ATTRIBUTES, "worker_id": worker_id, "made_at": now}
    values |= {"deadline": now + timedelta(days=9), "taken": 0, "returned": 0, "seen_image_id": 0}
    with place.db.begin() as conn:
        added = sa.insert(Assignment).values(**values).returning(Assignment.id)
        assignment: int = conn.execute(added).scalar_one()
        kept = sa.update(Task).where(*queue, Task.state == TaskState.READY, Task.reserved_for.is_(None))
        moved = conn.execute(kept.values(state=TaskState.ASSIGNED, assignment_id=assignment)).rowcount
        assert moved > 10
    clean(place)
    yield assignment
    with place.db.begin() as conn:
        back = sa.update(Task).where(Task.assignment_id == assignment)
        conn.execute(back.values(state=TaskState.READY, assignment_id=None))
        conn.execute(sa.delete(Assignment))
    clean(place)


@contextmanager
def closed_to(place: Place, worker_id: int, stage: Stage) -> Iterator[None]:
    """Every open task of the stage is kept from this person by name, for the time of the block."""
    queue = (Task.stage == stage, Task.state.in_((TaskState.READY, TaskState.LEASED)))
    with place.db.begin() as conn:
        conn.execute(sa.update(Task).where(*queue).values(excluded_id=worker_id))
    clean(place)
    yield
    with place.db.begin() as conn:
        conn.execute(sa.update(Task).where(Task.excluded_id == worker_id).values(excluded_id=None))
    clean(place)


def test_no_two_indexes_of_tasks_look_alike_to_the_planner() -> None:
    """Of two with one condition it may take the wrong one, when its statistics know no such row.

    That shows among millions only: eight million tasks with two hundred leases had everybody's leases
    read at each claim.
    """
    conditions = [
        str(index.dialect_options["postgresql"]["where"])
        for index in cast(sa.Table, Task.__table__).indexes
        if index.dialect_options["postgresql"]["where"] is not None
    ]
    assert len(conditions) > 5
    assert sorted(set(conditions)) == sorted(conditions)
