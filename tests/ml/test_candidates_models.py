"""Every net that can be trained is trained for a moment, registered, promoted, and proposes; and broken ones
hold up nothing but themselves.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from crowd.core import clock
from crowd.ml import service
from crowd.ml.card import parse_card
from crowd.ml.data import DataSet
from crowd.ml.hyper import MODELS, Hyper, Optimizer, Task
from crowd.ml.nets import create_model
from crowd.ml.pending import Wanted
from crowd.ml.predict import Predictor
from crowd.ml.prelabel import Line, Tally
from crowd.ml.training import run
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Setting
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.taxonomy import Taxonomy, load_taxonomy
from tests.ml.shelf import (
    SIDE,
    add_model,
    attributes_card,
    candidates_of,
    give_pictures,
    jobs_of,
    promote,
    styles_card,
)
from tests.tasks.engine import Engine, Lease, passing

TAXONOMY = load_taxonomy()
HYPER = Hyper(
    backbone="resnet18", image_size=32, epochs=1, batch_size=8, optimizer=Optimizer.ADAMW, workers=0
)
SMALL: dict[str, dict[str, Any]] = {
    "ml_gcn": {"hidden": 16},
    "query2label": {"dim": 16, "heads": 2, "feedforward": 16, "layers": 1},
    "maskrcnn": {"width": 32, "hidden": 64},
}
EVERY = [(task, model) for task, models in MODELS.items() for model in models]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def waiting_at(rt: Runtime, stage: Stage, count: int) -> None:
    """So many images with pictures, whose next stage is this one."""
    engine = Engine(rt)
    person = engine.hire(Grade.GENERAL)
    for _ in range(count):
        engine.add_image()
    for before in (Stage.SEGMENTATION, Stage.ATTRIBUTES):
        if before is stage:
            break
        for _ in range(count):
            lease = engine.claim(person, before)
            assert isinstance(lease, Lease)
            assert engine.answer(lease, passing(lease)) is None
    give_pictures(rt)


def run_line(rt: Runtime) -> Tally:
    """What one run of the production line comes to."""
    line = Line(rt, device="cpu")
    try:
        return line.run()
    finally:
        line.close()


class Silent:
    """A watcher of no training."""

    def epoch_begins(self, epoch: int, epochs: int, steps: int) -> None:
        """Nothing to show."""

    def step_done(self, loss: float) -> None:
        """Nothing to show."""

    def epoch_done(self, row: Any) -> None:
        """Nothing to show."""


@pytest.fixture
def handful(few_read: DataSet) -> DataSet:
    kept = [*few_read.of("train")[:16], *few_read.of("validation")[:3]]
    return DataSet(few_read.folder, tuple(kept))


@pytest.mark.parametrize(("task", "model"), EVERY, ids=[model for _, model in EVERY])
def test_each_net_that_can_be_trained_proposes_once_it_serves(
    task: Task, model: str, rt: Runtime, handful: DataSet, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    setting = Setting(task, model, HYPER, tmp_path, options=SMALL.get(model, {}))
    run.train(setting, handful, taxonomy, Ranks(0, 1, torch.device("cpu")), Silent())
    with (tmp_path / run.WEIGHTS).open("rb") as file:
        kept = service.keep_file(rt.storage, file)
    model_id = service.add(rt, kept, "trained", by=None, now=clock.now()).id
    waiting_at(rt, Stage(task.value), 3)
    promote(rt, model_id)
    run_line(rt)
    made = candidates_of(rt, model_id)
    assert len(made) == 3, jobs_of(rt, model_id)
    for value in made.values():
        assert list(value) == ["styles" if task is Task.STYLES else "regions"]
        if task is Task.ATTRIBUTES:
            assert all(value["regions"].values()), "each region got a proposal"


def fashionnet_card() -> dict[str, Any]:
    card = attributes_card(net="fashionnet", parts=[part.key for part in TAXONOMY.parts])
    return {
        **card,
        "options": {**card["options"], "parts": len(TAXONOMY.parts)},
        "inputs": {**card["inputs"], "crop": "image", "margin": 0.0},
    }


def test_fashionnet_reads_each_region_where_it_is_also_two_of_a_part(tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = parse_card(fashionnet_card())
    net = create_model(card.net, **card.options)
    predictor = Predictor(net, card, TAXONOMY, "cpu")
    boxes = {"a": [0, 0, 40, 50], "b": [30, 90, 60, 100], "c": [50, 10, 20, 20], "d": [5, 5, 9, 9]}
    parts = {"a": "top", "b": "bottom", "c": "top", "d": "hat"}
    regions = [{"id": name, "part": parts[name], "box": box} for name, box in boxes.items()]
    wanted = Wanted(1, 1, b"", 100, 200, regions)
    path = tmp_path / "1.png"
    Image.radial_gradient("L").resize((100, 200)).convert("RGB").save(path)
    ready = predictor.prepare(wanted, path)
    (said,) = predictor.collect(predictor.launch([ready]))
    found = predictor.candidates(wanted, said)["regions"]
    assert list(found) == list(boxes)
    assert found["d"] == {}, "a part that the net has no seat for"
    pixels = predictor._inputs([ready.units[0].pixels])
    for name in "abc":
        x, y, width, height = boxes[name]
        asked = torch.full((1, 4, 4), torch.nan)
        row = card.parts.index(parts[name])
        scale = torch.tensor([SIDE / 100, SIDE / 200] * 2)
        asked[0, row] = torch.tensor([x, y, x + width, y + height]) * scale
        with torch.inference_mode():
            logits = predictor.net(pixels, asked)["attributes"]["category"][0, row]
        assert isinstance(card.classes, Mapping)
        best = dict(zip(card.classes["category"], logits.softmax(0).tolist(), strict=True))
        for entry in found[name]["category"]:
            assert entry["score"] == pytest.approx(best[entry["value"]], abs=2e-4)
    assert found["a"] != found["c"]


def test_a_model_that_says_something_else_than_its_card_tells_holds_up_nothing(
    rt: Runtime, tmp_path: Path
) -> None:
    card = attributes_card()
    fewer = {**card, "classes": {**card["classes"], "category": card["classes"]["category"][:-1]}}
    broken = add_model(rt, tmp_path, fewer, name="broken")
    fine = add_model(rt, tmp_path, styles_card(), name="fine")
    waiting_at(rt, Stage.STYLES, 3)
    waiting_at(rt, Stage.ATTRIBUTES, 3)
    for model_id in (broken, fine):
        promote(rt, model_id)
    assert run_line(rt).made == 3
    assert len(candidates_of(rt, fine)) == 3
    assert jobs_of(rt, broken) == {}, "it was not let near any task"


def test_a_model_whose_answers_cannot_be_ranked_holds_up_nothing(
    rt: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = add_model(rt, tmp_path, styles_card(), name="broken")
    fine = add_model(rt, tmp_path, attributes_card(), name="fine")
    waiting_at(rt, Stage.STYLES, 3)
    waiting_at(rt, Stage.ATTRIBUTES, 3)
    for model_id in (broken, fine):
        promote(rt, model_id)

    def refuse(self: Predictor, logits: torch.Tensor) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Predictor, "check", lambda self: None)
    monkeypatch.setattr(Predictor, "_styles", refuse)
    tally = run_line(rt)
    assert (tally.made, tally.failed) == (3, 3)
    assert len(candidates_of(rt, fine)) == 3
    jobs = jobs_of(rt, broken).values()
    assert [job.attempts for job in jobs] == [1, 1, 1]
    assert all("ZeroDivisionError" in job.error and job.due_at is not None for job in jobs)


def test_one_task_that_cannot_be_ranked_fails_alone(
    rt: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(rt, tmp_path, styles_card())
    waiting_at(rt, Stage.STYLES, 5)
    promote(rt, model_id)
    rank = Predictor.candidates

    def refuse_one(self: Predictor, wanted: Wanted, answers: Any) -> dict[str, Any]:
        if wanted.image_id == 2:
            raise ZeroDivisionError
        return rank(self, wanted, answers)

    monkeypatch.setattr(Predictor, "candidates", refuse_one)
    assert run_line(rt) == Tally(made=4, failed=1, units=5)
    assert len(jobs_of(rt, model_id)) == 1
