"""Many people reach for the same work at the same instant."""

import multiprocessing
from collections import Counter
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import pytest

from crowd.core.config import Settings
from crowd.policy import Grade, Stage
from crowd.runtime import build_runtime
from crowd.tasks.leases import QueueState
from crowd.tasks.models import TaskState
from tests.races.conftest import Crowd
from tests.races.contest import WAIT_SECONDS, together
from tests.tasks.engine import Engine, Lease, later, open_database, passing

PROCESS_ROUNDS = 20


def _claim_in_a_process(settings: Settings, worker_id: int, barrier: Barrier, wire: Connection) -> None:
    """The other process: claims at every barrier and tells the task's id, or 0."""
    runtime = build_runtime(settings)
    engine = Engine(replace(runtime, db=open_database(settings.database_url)))
    engine.is_alone = False
    for _ in range(PROCESS_ROUNDS):
        barrier.wait(WAIT_SECONDS)
        given = engine.claim(worker_id)
        wire.send(given.task_id if isinstance(given, Lease) else 0)
        barrier.wait(WAIT_SECONDS)
    engine.db.close()


def test_of_two_processes_one_gets_the_last_task(crowd: Crowd, settings: Settings) -> None:
    engine = crowd.engine
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    ends, processes = [], []
    for worker_id in engine.crew[Grade.GENERAL]:
        mine, theirs = context.Pipe()
        arguments = (settings, worker_id, barrier, theirs)
        process = context.Process(target=_claim_in_a_process, args=arguments, daemon=True)
        process.start()
        ends.append(mine)
        processes.append(process)
    try:
        for _ in range(PROCESS_ROUNDS):
            engine.add_image()
            barrier.wait(WAIT_SECONDS)
            given = sorted(end.recv() for end in ends if end.poll(WAIT_SECONDS))
            assert len(given) == 2
            assert given[0] == 0 < given[1], "not exactly one of two got the last task"
            engine.clear()
            barrier.wait(WAIT_SECONDS)
    finally:
        barrier.abort()
        for process in processes:
            process.join(10)
            process.kill()


def test_sixteen_people_share_ten_tasks(crowd: Crowd) -> None:
    engine = crowd.engine
    people = [engine.hire(Grade.GENERAL) for _ in range(16)]
    engines = crowd.engines(16)
    for seed in range(5):
        images = {engine.add_image() for _ in range(10)}
        claims = [partial(own.claim, who) for own, who in zip(engines, people, strict=True)]
        given = [each for each in together(*claims, seed=seed, spread_ms=2) if isinstance(each, Lease)]
        assert Counter(lease.image_id for lease in given) == Counter(images)
        for lease in given:
            task = engine.task(lease.task_id)
            assert (task.worker_id, task.token, task.state) == (
                lease.worker_id,
                lease.token,
                TaskState.LEASED,
            )
        engine.clear()


def test_one_person_on_eight_connections_never_holds_a_fourth_task(crowd: Crowd) -> None:
    engine = crowd.engine
    [person] = [engine.hire(Grade.GENERAL)]
    engines = crowd.engines(8)
    for seed in range(10):
        for _ in range(8):
            engine.add_image()
        given = together(*(partial(own.claim, person) for own in engines), seed=seed)
        assert sum(isinstance(each, Lease) for each in given) == engine.policy.held_leases
        assert given.count(QueueState.CAPPED) == 8 - engine.policy.held_leases
        engine.clear()


def test_one_person_never_claims_both_seats_of_an_image(crowd: Crowd) -> None:
    engine = crowd.engine
    inspector = engine.crew[Grade.INSPECTOR][0]
    one, other, grid = crowd.engines(3)
    for seed in range(10):
        image = engine.image_at(Stage.SECOND_REVIEW)
        together(
            partial(one.claim, inspector),
            partial(other.claim, inspector),
            partial(grid.claim_batch, inspector, 5),
            seed=seed,
            spread_ms=1,
        )
        seats = [engine.task(task.id) for task in engine.open_tasks(image)]
        assert sorted(task.state for task in seats) == [TaskState.LEASED, TaskState.READY]
        engine.clear()


@pytest.mark.parametrize("by", ["submit", "heartbeat"])
def test_a_late_answer_and_the_next_claim_take_one_seat_only(crowd: Crowd, by: str) -> None:
    engine = crowd.engine
    inspector = engine.crew[Grade.INSPECTOR][0]
    one, other = crowd.engines(2)
    for seed in range(16):
        image = engine.image_at(Stage.SECOND_REVIEW)
        lease = engine.claim(inspector)
        assert isinstance(lease, Lease)
        later(engine, 2000)
        engine.tidy()
        one, other = crowd.engines(2)
        answering = partial(one.answer, lease, passing(lease))
        late, claimed = together(
            answering if by == "submit" else partial(one.heartbeat, lease),
            partial(other.claim, inspector),
            seed=seed,
            spread_ms=4,
        )
        mine = [task for task in engine.tasks_of(image) if task.worker_id == inspector and task.round == 1]
        mine = [task for task in mine if task.stage is Stage.SECOND_REVIEW]
        assert len(mine) == 1, f"{late} and {claimed} gave one person two seats"
        engine.clear()


def test_a_claim_by_somebody_being_suspended_leaves_no_lease(crowd: Crowd) -> None:
    engine = crowd.engine
    person = engine.crew[Grade.GENERAL][0]
    one, other = crowd.engines(2)
    for seed in range(16):
        engine.add_image()
        given, _ = together(
            partial(one.claim, person), partial(other.suspend, person), seed=seed, spread_ms=3
        )
        [task] = engine.open_tasks()
        assert task.state is TaskState.READY, f"{given} is held by somebody suspended"
        engine.reinstate(person)
        engine.clear()


def test_two_tidies_at_once_count_each_miss_once(crowd: Crowd) -> None:
    engine = crowd.engine
    people = [engine.hire(Grade.GENERAL) for _ in range(6)]
    engines = crowd.engines(3)
    for _ in people:
        engine.add_image()
    task_ids = [task.id for task in engine.open_tasks()]
    for nth in range(engine.policy.stuck_after):
        shifted = people[nth:] + people[:nth]
        leases = [engine.claim(person) for person in shifted]
        assert all(isinstance(lease, Lease) for lease in leases)
        later(engine, 2000)
        engines = crowd.engines(3)
        together(*(own.tidy for own in engines), seed=nth)
        expected = TaskState.STUCK if nth + 1 == engine.policy.stuck_after else TaskState.READY
        assert {engine.task(task_id).state for task_id in task_ids} == {expected}


def test_claims_tidies_and_suspensions_in_a_crowd_never_deadlock(crowd: Crowd) -> None:
    engine = crowd.engine
    people = [engine.hire(Grade.GENERAL) for _ in range(6)]
    engines = crowd.engines(9)
    for _ in range(12):
        engine.add_image()
    for seed in range(8):
        later(engine, 1900)
        engines = crowd.engines(9)
        claims = [partial(own.claim, who) for own, who in zip(engines, people, strict=False)]
        together(
            *claims,
            engines[6].tidy,
            engines[7].tidy,
            partial(_suspend_for_a_moment, engines[8], people[seed % 6]),
            seed=seed,
            spread_ms=5,
        )
        holders = Counter(engine.task(task.id).worker_id for task in engine.open_tasks())
        assert all(count <= engine.policy.held_leases for worker, count in holders.items() if worker)


def _suspend_for_a_moment(engine: Engine, person: int) -> None:
    engine.suspend(person)
    engine.reinstate(person)
