"""The capacity model against what can be reckoned by hand, and against a real simulated crowd."""

from dataclasses import replace

import pytest

from benchmarks.capacity.chain import START, Habits, State, expected, steps
from benchmarks.capacity.days import Group, Pace, Project, images_a_day, people_needed, run, seconds_an_image
from benchmarks.capacity.habits import assumed, of_crew
from benchmarks.capacity.loads import cost, record
from benchmarks.capacity.projects import CROWD, EXPERTS, GRID, INSPECTORS, PLANNED, REVIEWERS, planned
from crowd.policy import Stage, load_policy
from crowd.simulation.crew import assemble
from crowd.tasks.flow import LABELLING

PERFECT = Habits(dict.fromkeys(LABELLING, 1.0), 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
DAY = 8 * 3600


def reachable(habits: Habits) -> set[State]:
    found, new = {START}, [START]
    while new:
        for step in steps(new.pop(), habits):
            if step.to is not None and step.to not in found:
                found.add(step.to)
                new.append(step.to)
    return found


def tasks(habits: Habits, stage: Stage) -> float:
    return sum(count for (where, _), count in expected(habits).tasks.items() if where is stage)


def test_without_a_fault_every_task_is_done_once_and_the_second_review_twice() -> None:
    found = expected(PERFECT)
    assert {stage: tasks(PERFECT, stage) for stage in Stage} == {
        **dict.fromkeys(Stage, 1.0),
        Stage.SECOND_REVIEW: 2.0,
        Stage.ADJUDICATION: 0.0,
    }
    assert not any(found.bounces.values())
    assert found.sound == pytest.approx(1)


def test_ways_out_of_every_state_add_up_to_one() -> None:
    habits = assumed()
    states = reachable(habits)
    assert len(states) > 50
    for state in states:
        assert sum(step.chance for step in steps(state, habits)) == pytest.approx(1), state


def test_one_fault_that_the_first_review_finds_by_hand() -> None:
    """Styles are wrong with one in five; who reworks is always right; nobody but the first review looks."""
    habits = replace(PERFECT, right={**PERFECT.right, Stage.STYLES: 0.8})
    found = expected(habits)
    assert {stage: share for stage, share in found.bounces.items() if share} == {
        Stage.STYLES: pytest.approx(0.2)
    }
    assert found.tasks[Stage.STYLES, True] == pytest.approx(0.2)
    assert tasks(habits, Stage.FIRST_REVIEW) == pytest.approx(1.2)


def test_one_fault_that_half_of_all_looks_miss_by_hand() -> None:
    """Found by the first review, or by both seats; seats that differ go to a third person."""
    half = replace(PERFECT, right={**PERFECT.right, Stage.STYLES: 0.8}, notice=0.5, inspector_notice=0.5)
    found = expected(half)
    reaches_seats = 0.2 * 0.5
    splits = reaches_seats * 0.5
    assert tasks(half, Stage.ADJUDICATION) == pytest.approx(splits)
    missed = reaches_seats * 0.25 + splits * 0.5
    assert 1 - found.sound == pytest.approx(missed)
    assert found.bounces[Stage.STYLES] == pytest.approx(0.2 - missed)


def test_days_of_a_single_bottleneck_by_hand() -> None:
    """1000 images of 100 s for two people of 28,800 s a day: 576 a day, so two days."""
    seconds = {**dict.fromkeys(Stage, 1e-6), Stage.STYLES: 100.0}
    groups = [Group("experts", 2, (Stage.STYLES,)), Group("others", 1000, _but(Stage.STYLES))]
    project = Project(1000, groups, Pace(seconds, 1.0), PERFECT)
    assert images_a_day(project)["experts"] == pytest.approx(576)
    course = run(project, 10)
    assert course.days == 2
    # The first turns of the first day pass until an image has reached the experts, and come out behind them.
    assert 0.8 * 576 < course.accepted[0] <= 576


def test_images_in_are_accepted_or_waiting_on_every_day() -> None:
    project = planned(images=50_000)
    course = run(project, 30, arrive_in=5)
    for day, (waiting, accepted) in enumerate(zip(course.waiting, course.accepted, strict=True), 1):
        assert sum(waiting.values()) + accepted == pytest.approx(50_000 * min(day, 5) / 5)
        assert min(waiting.values()) > -1e-6


def test_nobody_works_longer_than_a_day_has() -> None:
    course = run(planned(images=200_000), 400)
    assert all(share <= 1 + 1e-9 for share in course.busy.values())
    assert max(course.busy.values()) > 0.95


def test_more_people_help_at_the_bottleneck_alone() -> None:
    days = {
        name: run(planned({name: 2 * count}, images=100_000), 400).days for name, count in PLANNED.items()
    }
    as_planned = run(planned(images=100_000), 400).days
    assert days[INSPECTORS] == pytest.approx(as_planned / 2, rel=0.1)
    assert {days[name] for name in (CROWD, EXPERTS, REVIEWERS)} <= {as_planned, as_planned - 1}


def test_the_days_followed_agree_with_the_pace_of_the_slowest() -> None:
    for seconds in ({}, GRID):
        project = planned(seconds=seconds, images=200_000)
        slowest = min(images_a_day(project).values())
        assert run(project, 400).days == pytest.approx(200_000 / slowest, rel=0.06)


def test_people_needed_are_just_enough() -> None:
    needed = people_needed(planned(images=100_000), 20)
    assert run(planned(needed, images=100_000), 60).days == pytest.approx(20, abs=2)


def test_rework_costs_its_share_of_the_time() -> None:
    habits = replace(PERFECT, right={**PERFECT.right, Stage.STYLES: 0.8})
    groups = [Group("experts", 1, (Stage.STYLES,)), Group("others", 1, _but(Stage.STYLES))]
    project = Project(1, groups, Pace(dict.fromkeys(Stage, 10.0), 0.5), habits)
    assert seconds_an_image(project)["experts"] == pytest.approx(10 + 0.2 * 5)


def test_a_real_crowd_did_and_bounced_as_much_as_the_model_says() -> None:
    real = record()
    crew = assemble(real["workers"], real["seed"], real["careless"])
    found, images = expected(of_crew(crew, load_policy())), real["images"]
    for stage in Stage:
        reckoned = images * sum(count for (where, _), count in found.tasks.items() if where is stage)
        assert reckoned == pytest.approx(real["tasks"][stage], rel=0.12), stage
    bounces = images * sum(found.bounces.values())
    assert bounces == pytest.approx(sum(real["bounces"].values()), rel=0.4)


def test_a_measured_image_costs_what_its_tables_hold() -> None:
    real = record()
    each = cost(real)
    total = sum(map(sum, real["bytes_large"].values()))
    assert (each.table_bytes + each.index_bytes) * real["multiplied"] == pytest.approx(total)
    # Rows were multiplied, not made up: an image has as many answers as the crowd gave it.
    assert real["rows"]["submissions"] / real["multiplied"] == pytest.approx(
        real["cycles"] / real["images"], rel=0.01
    )


def _but(stage: Stage) -> tuple[Stage, ...]:
    return tuple(other for other in reversed(Stage) if other is not stage)
