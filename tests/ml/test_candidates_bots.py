"""Effects planted in bots, found again by `GET /stats/candidates`: nothing here is about people."""

import random
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from flask import Flask
from rich.console import Console
from sqlalchemy.engine import Connection

from crowd.app import create_app
from crowd.commands.simulate import simulate
from crowd.core import clock
from crowd.ml import pending
from crowd.ml.pending import Returned, Wanted
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.simulation import client as simulated
from crowd.simulation.crew import assemble
from crowd.simulation.crowd import Crowd, Plan, recruit
from crowd.simulation.figures import print_figures
from crowd.simulation.influence import Effect, Influence, effect_of, influenced, seconds_spent
from crowd.simulation.ledger import Ledger
from crowd.simulation.recovery import recover
from crowd.simulation.truths import Truths
from crowd.simulation.uploads import Uploader
from crowd.simulation.vocabulary import Vocabulary
from crowd.taxonomy import Attribute, Taxonomy
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
    own: dict[str, Any] = {"regions": {"r1": {}}}
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


def guessed(taxonomy: Taxonomy, wanted: Wanted, dice: random.Random) -> Any:
    """Somewhat sure of one value of everything that can be asked: mostly the wrong one."""

    def ranked(attribute: Attribute, part: str) -> list[dict[str, Any]]:
        return [{"value": dice.choice(attribute.values_for(part)).key, "score": 0.9}]

    return {
        "regions": {
            region["id"]: {
                attribute.key: ranked(attribute, region["part"])
                for attribute in taxonomy.attributes_for(region["part"])
            }
            for region in wanted.regions
        }
    }


class MadeInTime(httpx.BaseTransport):
    """The application in this process; before anybody claims, what is pending gets its candidates."""

    def __init__(self, app: Flask, rt: Runtime, model_id: int) -> None:
        self._inner = httpx.WSGITransport(app=app)
        self._rt = rt
        self._model_id = model_id
        self._lock = threading.Lock()
        self._dice = random.Random(3)
        self._returned = Returned()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/tasks/claim"):
            with self._lock, self._rt.db.begin() as conn:
                self._make(conn)
        return self._inner.handle_request(request)

    def _make(self, conn: Connection) -> None:
        rt, now = self._rt, clock.now()
        taken = pending.take(conn, Stage.ATTRIBUTES, 50, rt.policy, now, self._returned)
        if taken is not None and taken.tasks:
            made = {each.task_id: guessed(rt.taxonomy, each, self._dice) for each in taken.tasks}
            pending.finish(conn, self._model_id, made, {}, rt.policy, now)


def test_a_simulated_crowd_tells_what_was_planted_beside_what_the_statistics_find(
    rt: Runtime, make_worker: MakeWorker, tmp_path: Path
) -> None:
    half = with_policy(rt, withheld_percent=50, urgent_percent=0)
    app = create_app(rt=half, environ={})
    hear_at_once(half)
    model_id = add_card(half, tmp_path, attributes_card())
    promote(half, model_id)
    _, token = make_worker(Grade.ADMIN)
    planted = Influence(adopts=0.6, saves=0.4)
    stop, ledger = threading.Event(), Ledger()
    with httpx.Client(transport=MadeInTime(app, half, model_id), base_url="http://bots") as http:
        admin = simulated.Client(http, token, ledger, stop)
        crew = recruit(admin, assemble(8, 7, 0.0), 7)
        truths = Truths(Vocabulary.read(admin.fetch("/taxonomy")), 7)
        ids = Uploader(admin, truths, 7).upload(10, lambda _done: None)
        plan = Plan(7, 0.1, 120.0, planted)
        figures = Crowd(http, admin, crew, truths, ledger, stop, plan).run(ids, lambda _snapshot: None)
    assert figures.influence is not None
    (found,) = figures.influence.found
    assert (found.stage, found.earlier) == (Stage.ATTRIBUTES, 0)
    assert min(found.shown, found.withheld) >= 2, "too few candidates were there in time"
    assert found.faster is not None
    assert found.faster_error is not None
    assert found.faster == pytest.approx(planted.saves, abs=4 * found.faster_error)
    assert found.faster > 4 * found.faster_error
    # Guesses are hardly ever right: what bots adopt is nearly all that they were shown.
    assert found.planted_bias is not None
    assert found.planted_bias > 0.4
    assert found.bias == pytest.approx(found.planted_bias, abs=0.1)
    assert found.adopted == pytest.approx(planted.adopts, abs=0.15)
    screen = Console(file=StringIO(), width=200)
    print_figures(figures, screen)
    assert "say nothing about people" in screen.file.getvalue()  # type: ignore[attr-defined]
    assert figures.document()["influence"]["note"] == figures.influence.note


@pytest.mark.parametrize("words", [["--faster", "30"], ["--adopt-wrong", "1.5"]])
def test_what_cannot_be_planted_is_bad_usage(words: list[str]) -> None:
    ended = CliRunner().invoke(simulate, ["--workers", "8", *words])
    assert ended.exit_code == 2
    assert words[0] in ended.output
