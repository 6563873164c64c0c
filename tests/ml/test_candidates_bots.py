"""Effects planted in bots, found again by `GET /stats/candidates`: nothing here is about people."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crowd.ml.pending import Wanted
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.simulation.influence import Effect, Influence, effect_of, influenced, seconds_spent
from crowd.simulation.recovery import NOT_ABOUT_PEOPLE, recover
from crowd.standalone import start_standalone
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import (
    STYLES,
    add_card,
    attributes_card,
    claim,
    hear_at_once,
    make,
    promote,
    styles_card,
    submit,
    waiting_for_styles,
    with_policy,
    write_model,
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


def test_a_list_that_nobody_filled_counts_as_the_statistics_count_it() -> None:
    shown = {
        "regions": {
            "r1": {"print": [{"value": "dot", "score": 0.4}], "detail": [{"value": "bow", "score": 0.8}]}
        }
    }
    own = {"regions": {"r1": {}}}
    answer = influenced(
        Stage.ATTRIBUTES, own, shown, Influence(1.0, 0.0), random.Random(1), ("print", "detail")
    )
    assert answer == {"regions": {"r1": {"print": [], "detail": ["bow"]}}}
    assert effect_of(Stage.ATTRIBUTES, own, answer, shown, ("print", "detail")) == Effect(2, 1, 2)


def test_what_was_counted_before_the_run_is_told_and_models_without_new_answers_are_left_out() -> None:
    def entry(model_id: int, answers: int) -> dict[str, Any]:
        side = {"answers": answers, "agreement": 0.2}
        told = {"bias": 0.4, "faster": 0.3, "faster_error": 0.01, "stage": "styles", "model": "m@1"}
        return {"model_id": model_id, "shown": side, "withheld": side, **told}

    effects = {Stage.STYLES: {"answers": 5, "proposed": 10, "alone": 2, "shown": 7}}
    found = recover(PLANTED, effects, [entry(1, 3), entry(2, 9)], [entry(1, 8), entry(2, 9)])
    (only,) = found.found
    assert (only.earlier, only.shown, only.planted_bias) == (6, 8, 0.5)
    assert only.adopted == pytest.approx(0.4 / 0.8)


@dataclass(frozen=True)
class Running:
    """A whole system in which half of all candidates are withheld."""

    url: str
    environment: dict[str, str]

    def crowd(self, *words: str) -> str:
        command = [sys.executable, "-m", "crowd", *words]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=240)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    policy = tmp_path / "policy.yaml"
    policy.write_text("withheld_percent: 50\n")
    for name in ("DATABASE_URL", "REDIS_URL", "CROWD_DATA_DIR", "CROWD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROWD_POLICY", str(policy))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data_dir = tmp_path / "system"
    with start_standalone(data_dir) as url:
        yield Running(url, {**os.environ, "CROWD_DATA_DIR": str(data_dir)})


def test_a_simulated_crowd_tells_what_was_planted_beside_what_the_statistics_find(
    running: Running, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "random.safetensors", attributes_card())
    running.crowd("model", "add", str(path), "--promote")
    words = "--workers 10 --images 24 --careless 0 --think 0.3 --adopt-wrong 0.6 --faster 40 --timeout 200"
    figures = json.loads(running.crowd("simulate", "--url", running.url, *words.split(), "--json"))
    told = figures["influence"]
    assert told["planted"] == {"adopts": 0.6, "saves": 0.4}
    assert told["note"] == NOT_ABOUT_PEOPLE
    (found,) = told["found"]
    assert min(found["shown"], found["withheld"]) >= 4, "too few candidates were there in time"
    assert found["faster_error"] < 0.06
    assert found["faster"] == pytest.approx(0.4, abs=4 * found["faster_error"])
    # A net of random weights is hardly ever right: what bots adopt is nearly all that they were shown.
    assert found["planted_bias"] > 0.4
    assert found["bias"] == pytest.approx(found["planted_bias"], abs=0.08)
    assert found["adopted"] == pytest.approx(0.6, abs=0.12)
