"""Small nets must learn in a minute: each beats the prior by a stated margin on held-out images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from crowd.ml.data import DataSet, read_folder
from crowd.ml.hyper import Hyper, Optimizer, Schedule, Task
from crowd.ml.training import run
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Setting
from crowd.simulation.synthetic import Order, write_set
from crowd.taxonomy import Taxonomy

ALONE = Ranks(0, 1, torch.device("cpu"))
SMALL_DETECTOR = {
    "width": 64,
    "hidden": 128,
    "proposal_rules": {"kept": [200, 100], "left": [100, 40], "sampled": 128},
    "region_rules": {"sampled": 32, "most": 12},
}


class Silent:
    """A watcher with nothing to show."""

    def epoch_begins(self, epoch: int, epochs: int, steps: int) -> None:
        """Nothing to show."""

    def step_done(self, loss: float) -> None:
        """Nothing to show."""

    def epoch_done(self, row: Mapping[str, Any]) -> None:
        """Nothing to show."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, taxonomy: Taxonomy) -> DataSet:
    """200 images, 64 px wide: 160 to learn from, 40 held out."""
    folder = tmp_path_factory.mktemp("drawn") / "set"
    write_set(folder, Order(200, seed=1, size=64), 1, lambda done: None)
    return read_folder(folder, taxonomy)


def held_out(metrics: Mapping[str, Any], name: str, inner: tuple[str, ...] = ()) -> tuple[float, float]:
    """A figure of model and prior, the mean of validation and test: either alone is 20 images."""
    found = []
    for whose in ("model", "prior"):
        values = []
        for split in ("validation", "test"):
            figures = metrics[split][whose]
            for key in inner:
                figures = figures[key]
            values.append(figures[name])
        found.append(sum(values) / len(values))
    return found[0], found[1]


def learnt(
    task: Task, model: str, data: DataSet, taxonomy: Taxonomy, output: Path, options: Any = None, **hyper: Any
) -> dict[str, Any]:
    torch.set_num_threads(1)
    told = Hyper(
        backbone="resnet18",
        image_size=64,
        optimizer=Optimizer.ADAMW,
        lr=0.002,
        weight_decay=0.01,
        schedule=Schedule.COSINE,
        workers=0,
        **hyper,
    )
    setting = Setting(task, model, told, output, options=options or {})
    return run.train(setting, data, taxonomy, ALONE, Silent())


def test_styles_are_learnt(drawn: DataSet, taxonomy: Taxonomy, tmp_path: Path) -> None:
    metrics = learnt(Task.STYLES, "baseline", drawn, taxonomy, tmp_path, epochs=3, batch_size=16)
    model, prior = held_out(metrics, "mAP")
    assert model > prior + 0.15


def test_colours_are_learnt(drawn: DataSet, taxonomy: Taxonomy, tmp_path: Path) -> None:
    metrics = learnt(Task.ATTRIBUTES, "attributes", drawn, taxonomy, tmp_path, epochs=6, batch_size=32)
    model, prior = held_out(metrics, "top1", ("attributes", "color"))
    assert model > prior + 0.15
    assert metrics["epochs_done"][-1]["loss"] < 0.9 * metrics["epochs_done"][0]["loss"]


def test_garments_are_found(drawn: DataSet, taxonomy: Taxonomy, tmp_path: Path) -> None:
    kept = [sample for sample in drawn.samples if sample.split != "train" or sample.id <= 150]
    fewer = DataSet(drawn.folder, tuple(kept))
    metrics = learnt(
        Task.SEGMENTATION, "maskrcnn", fewer, taxonomy, tmp_path, SMALL_DETECTOR, epochs=3, batch_size=4
    )
    model, prior = held_out(metrics, "mask_AP50")
    assert model > prior + 0.05
