"""Doubtful tasks come forward within their stage: so many, once, and never hidden by marks."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.ml import urgency
from crowd.ml.pending import Wanted
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks.models import Task
from tests.ml.shelf import (
    add_card,
    claim,
    hear_at_once,
    make,
    promote,
    styles_card,
    waiting_for_styles,
    with_policy,
)
from tests.tasks.engine import Engine

COUNT = 20


@pytest.fixture
def engine(rt: Runtime, tmp_path: Path) -> Engine:
    """Twenty tasks of styles, the later the more doubtful; a fifth of them may come forward."""
    system = with_policy(rt, urgent_percent=20, withheld_percent=0)
    waiting_for_styles(system, COUNT)
    hear_at_once(system)
    return Engine(system)


def serve(engine: Engine, folder: Path, seed: int = 0) -> int:
    model_id = add_card(engine.rt, folder, styles_card(), seed)
    promote(engine.rt, model_id)
    return model_id


def sure_of_the_first(wanted: Wanted) -> Any:
    lead = 0.9 - 0.04 * wanted.task_id
    return {"styles": [{"value": "resort", "score": 0.95}, {"value": "country", "score": 0.95 - lead}]}


def priorities(engine: Engine) -> dict[int, int]:
    with engine.db.read() as conn:
        return {row.id: row.priority for row in conn.execute(sa.select(Task.id, Task.priority))}


def test_the_most_doubtful_share_comes_forward_by_one(engine: Engine, tmp_path: Path) -> None:
    tasks = make(engine, serve(engine, tmp_path), Stage.STYLES, sure_of_the_first)
    forward = {task_id for task_id, priority in priorities(engine).items() if priority == -1}
    assert forward == set(tasks[-4:])
    assert set(priorities(engine).values()) == {0, -1}


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_small_batches_keep_the_share_on_average(rt: Runtime, tmp_path: Path, size: int) -> None:
    system = with_policy(rt, urgent_percent=10)
    waiting_for_styles(system, 450)
    engine = Engine(system)
    model_id = serve(engine, tmp_path)
    tasks = sorted(priorities(engine))
    with engine.db.begin() as conn:
        for start in range(0, len(tasks), size):
            made: dict[int, Any] = {task_id: {"styles": []} for task_id in tasks[start : start + size]}
            urgency.bring_forward(conn, Stage.STYLES, model_id, made, engine.policy)
    moved = sum(priority == -1 for priority in priorities(engine).values())
    # Three standard deviations of so many lots at the most.
    assert abs(moved - 45) <= 3 * (450 / size * 0.25) ** 0.5


def test_the_crowd_claims_them_first_and_then_all_others(engine: Engine, tmp_path: Path) -> None:
    person = engine.hire(Grade.EXPERT)
    tasks = make(engine, serve(engine, tmp_path), Stage.STYLES, sure_of_the_first)
    claimed = [claim(engine, person)["id"] for _ in range(engine.policy.held_leases)]
    assert claimed[0] == tasks[-4]
    assert claimed == [*tasks[-4:], *tasks][: len(claimed)]


def test_a_task_comes_forward_once_and_a_new_model_finds_it_again(engine: Engine, tmp_path: Path) -> None:
    make(engine, serve(engine, tmp_path), Stage.STYLES, sure_of_the_first)
    before = priorities(engine)
    again = make(engine, serve(engine, tmp_path, 1), Stage.STYLES, sure_of_the_first)
    assert sorted(again) == sorted(before)
    after = priorities(engine)
    assert min(after.values()) == -1, "nothing comes forward twice"
    assert all(after[task_id] <= priority for task_id, priority in before.items())


def test_what_two_models_disagree_about_comes_first(engine: Engine, tmp_path: Path) -> None:
    def sure_of(style: str) -> Any:
        return {"styles": [{"value": style, "score": 0.9}, {"value": "country", "score": 0.1}]}

    make(engine, serve(engine, tmp_path), Stage.STYLES, lambda wanted: sure_of("resort"))
    before = priorities(engine)
    disputed = [task_id for task_id, priority in before.items() if priority == 0][-2:]
    make(
        engine,
        serve(engine, tmp_path, 1),
        Stage.STYLES,
        lambda wanted: sure_of("retro" if wanted.task_id in disputed else "resort"),
    )
    moved = {task_id for task_id, priority in priorities(engine).items() if priority < before[task_id]}
    assert moved >= set(disputed)


def test_a_claimed_task_stays_where_it_is(engine: Engine, tmp_path: Path) -> None:
    person = engine.hire(Grade.EXPERT)
    model_id = serve(engine, tmp_path)
    held = claim(engine, person)["id"]

    def doubts_the_held(wanted: Wanted) -> Any:
        return {"styles": []} if wanted.task_id == held else sure_of_the_first(wanted)

    make(engine, model_id, Stage.STYLES, doubts_the_held)
    assert priorities(engine)[held] == 0


def test_without_a_share_nothing_moves(rt: Runtime, tmp_path: Path) -> None:
    system = with_policy(rt, urgent_percent=0)
    waiting_for_styles(system, COUNT)
    engine = Engine(system)
    make(engine, serve(engine, tmp_path), Stage.STYLES, sure_of_the_first)
    assert set(priorities(engine).values()) == {0}
