"""Effects planted in bots, found again by `GET /stats/candidates`: nothing here is about people."""

import random
from pathlib import Path
from typing import Any

import pytest

from crowd.ml.pending import Wanted
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.simulation.influence import Influence, influenced, seconds_spent
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import (
    STYLES,
    add_card,
    claim,
    hear_at_once,
    make,
    promote,
    styles_card,
    submit,
    waiting_for_styles,
    with_policy,
)
from tests.tasks.engine import Engine

PLANTED = Influence(adopts=0.7, saves=0.35)
TASKS = 160
# Of four proposed styles one is wrong for sure, and bots would say one of the others by themselves.
TRUE, WRONG = STYLES[:1], STYLES[1:4]
MEAN_SECONDS = 40.0


def proposed(_wanted: Wanted) -> Any:
    return {"styles": [{"value": style, "score": 0.9} for style in (*TRUE, *WRONG)]}


@pytest.fixture
def worked(rt: Runtime, tmp_path: Path) -> Runtime:
    """A crowd of bots has answered every task; half of these came without their candidates."""
    half = with_policy(rt, withheld_percent=50, urgent_percent=0, held_leases=1)
    waiting_for_styles(half, TASKS)
    engine = Engine(half)
    hear_at_once(half)
    model_id = add_card(half, tmp_path, styles_card())
    promote(half, model_id)
    make(engine, model_id, Stage.STYLES, proposed)
    bot = engine.hire(Grade.EXPERT)
    dice = random.Random(4)
    for _ in range(TASKS):
        task = claim(engine, bot, Stage.STYLES)
        shown = task["candidates"]
        own = {"styles": list(TRUE), "unsure": False}
        answer = influenced(Stage.STYLES, own, shown, PLANTED, dice)
        seconds = seconds_spent(MEAN_SECONDS, shown=shown is not None, influence=PLANTED, rng=dice)
        assert submit(engine, bot, task, answer, seconds) is None
    return half


def test_planted_speed_and_bias_are_recovered_within_five_percent(
    worked: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, token = make_worker(Grade.ADMIN)
    (entry,) = client.get("/api/v1/stats/candidates", headers=bearer(token)).json["items"]
    assert entry["shown"]["answers"] + entry["withheld"]["answers"] == TASKS
    assert min(entry["shown"]["answers"], entry["withheld"]["answers"]) > TASKS / 3
    assert entry["faster"] == pytest.approx(PLANTED.saves, rel=0.05)
    assert entry["withheld"]["agreement"] == pytest.approx(len(TRUE) / (len(TRUE) + len(WRONG)))
    planted = PLANTED.adopts * len(WRONG) / (len(TRUE) + len(WRONG))
    assert entry["bias"] == pytest.approx(planted, rel=0.05)


def test_a_bot_that_sees_nothing_says_what_it_thinks() -> None:
    own = {"styles": ["resort"], "unsure": False}
    assert influenced(Stage.STYLES, own, None, PLANTED, random.Random(1)) == own


@pytest.mark.parametrize(("adopts", "given"), [(0.0, "white"), (1.0, "black")])
def test_attributes_are_adopted_at_the_stated_rate(adopts: float, given: str) -> None:
    own = {"regions": {"r1": {"color": "white", "print": ["solid"]}}}
    shown = {"regions": {"r1": {"color": [{"value": "black", "score": 0.9}], "print": []}, "r2": {}}}
    answer = influenced(Stage.ATTRIBUTES, own, shown, Influence(adopts, 0.0), random.Random(1))
    assert answer == {"regions": {"r1": {"color": given, "print": ["solid"]}}}
    assert own["regions"]["r1"]["color"] == "white"
