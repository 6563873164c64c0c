"""Gold comes with candidates like the work beside it, or not at all."""

import os
from datetime import timedelta

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.ml.models import Candidates, Model, Serving
from crowd.policy import Stage
from crowd.tasks.models import Task
from crowd.wiring import wire
from tests.gold.conftest import GoldCrew
from tests.scenarios.people import good, good_result

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PROPOSED = {"styles": [{"value": "resort", "score": 0.9}]}


def serve(crew: GoldCrew) -> int:
    """A model that has served the styles for a while."""
    now = clock.now()
    with crew.rt.db.begin() as conn:
        values = {
            "stage": Stage.STYLES,
            "name": "looks",
            "version": 1,
            "file": "models/x",
            "sha256": os.urandom(32),
        }
        more = {"card": {}, "metrics": {}, "created_at": now}
        model_id: int = conn.execute(
            sa.insert(Model).values(**values, **more).returning(Model.id)
        ).scalar_one()
        conn.execute(sa.delete(Serving).where(Serving.stage == Stage.STYLES))
        since = now - timedelta(days=1)
        conn.execute(sa.insert(Serving).values(stage=Stage.STYLES, model_id=model_id, since=since))
    return model_id


def propose(crew: GoldCrew, model_id: int, tasks: sa.ColumnElement[bool]) -> None:
    with crew.rt.db.begin() as conn:
        ids = conn.execute(sa.select(Task.id).where(Task.stage == Stage.STYLES, tasks)).scalars().all()
        rows = [
            {"task_id": each, "model_id": model_id, "value": PROPOSED, "made_at": clock.now()} for each in ids
        ]
        conn.execute(sa.insert(Candidates), rows)


@ON_SQLITE
def test_gold_is_dealt_with_the_candidates_of_its_image_or_not_at_all(crew: GoldCrew) -> None:
    with_candidates, without = crew.sources(2)
    crew.gold([with_candidates, without], "styles")
    for _ in range(20):
        crew.image_at("styles")
    model_id = serve(crew)
    propose(crew, model_id, Task.image_id != without)
    # A process that has not looked yet which model serves.
    wire(crew.rt)
    expert = crew.hire("expert")
    shown = []
    for _ in range(18):
        task = expert.claim("styles")
        shown.append((task["id"] in crew.seats(expert), task["candidates"]))
        good(expert.submit(task, good_result(task)))
    gold = [candidates for is_gold, candidates in shown if is_gold]
    assert len(gold) == 1, "the other item would have stood out"
    for candidates in gold:
        assert candidates in (None, {"model": "looks@1", **PROPOSED})
    assert sum(candidates is not None for _, candidates in shown) > 10
    assert crew.rows(
        "SELECT count(*) FROM candidate_uses JOIN tasks ON tasks.id = task_id WHERE purpose > 0"
    ) == [(0,)]
