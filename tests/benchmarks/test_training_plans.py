"""The plans of training must be commands that exist, and what falls short must be said."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.training.__main__ import CHECKPOINT, METRICS, main, row, shortcomings
from benchmarks.training.plans import PLANS, Plan, Run, words
from crowd.commands.train import train


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_training_of_a_plan_is_a_command_that_crowd_takes(plan: Plan, tmp_path: Path) -> None:
    for run in plan.runs:
        words = [str(tmp_path), "--model", run.model, "--output", str(tmp_path), *plan.common, *run.options]
        context = train.commands[run.task].make_context("train", words)
        assert context.params["model"] == run.model
    assert len({run.name for run in plan.runs}) == len(plan.runs)


def told(model: str, task: str, score: float, prior: float) -> dict[str, Any]:
    return {"model": model, "task": task, "score": score, "prior": prior, "seconds": 900.0}


def test_models_near_the_prior_and_a_graph_that_harms_fall_short() -> None:
    assert shortcomings([told("ml_gcn", "styles", 0.4, 0.1), told("baseline", "styles", 0.39, 0.1)]) == []
    assert len(shortcomings([told("attributes", "attributes", 0.6, 0.5)])) == 1
    assert len(shortcomings([told("maskrcnn", "segmentation", 0.69, 0.1)])) == 1
    assert len(shortcomings([told("ml_gcn", "styles", 0.4, 0.1)], most_seconds=800.0)) == 1
    found = shortcomings([told("ml_gcn", "styles", 0.38, 0.1), told("baseline", "styles", 0.39, 0.1)])
    assert found == ["ml_gcn 0.380 is below baseline 0.390"]


def test_the_score_of_a_model_is_the_mean_of_its_seeds_on_held_out_images() -> None:
    def metrics(score: float) -> dict[str, Any]:
        return {
            "backbone": "resnet18",
            "image_size": 64,
            "device": "cpu",
            "images": {"train": 8},
            "epochs_done": [
                {"seconds": 2.0, "processor_seconds": 5.0},
                {"seconds": 3.0, "processor_seconds": 5.0},
            ],
            "test": {"model": {"mAP": score, "images": 3}, "prior": {"mAP": 0.1}},
        }

    found = row(Run("styles", "baseline", ()), [metrics(0.3), metrics(0.5)])
    assert found is not None
    assert (found["score"], found["prior"], found["seconds"], found["seeds"]) == (0.4, 0.1, 5.0, 2)
    assert row(Run("styles", "baseline", ()), []) is None


SMALLEST = Plan(
    40,
    32,
    words("--backbone resnet18 --device cpu --workers 0 --epochs 2 --image-size 32 --batch-size 32"),
    (Run("styles", "baseline", ()),),
)


def test_a_plan_that_was_cut_off_goes_on_and_trains_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PLANS, "smallest", SMALLEST)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = ["benchmarks.training", "--plan", "smallest", "--out", str(tmp_path), "--stop-after"]
    monkeypatch.setattr(sys, "argv", [*command, "0"])
    assert main() == 1
    assert "baseline seed 0" in capsys.readouterr().out

    first, data = tmp_path / "smallest" / "styles-baseline-0", tmp_path / "set-40-32"
    first.mkdir(parents=True)
    options = [*SMALLEST.common, "--model", "baseline", "--seed", "0", "--output", str(first)]
    cut_off = subprocess.Popen([sys.executable, "-m", "crowd", "train", "styles", str(data), *options])
    while not (first / CHECKPOINT).is_file():
        assert cut_off.poll() is None
        time.sleep(0.01)
    cut_off.kill()
    cut_off.wait()
    assert not (first / METRICS).is_file()

    monkeypatch.setattr(sys, "argv", [*command, "30"])
    drawn = (data.with_name("set-40-32.drawn")).stat().st_mtime_ns
    main()
    out = capsys.readouterr().out
    assert "NOT TRAINED" not in out
    assert "| baseline | resnet18 |" in out
    assert shown_epochs(first) == 1
    assert (data.with_name("set-40-32.drawn")).stat().st_mtime_ns == drawn
    before = (first / METRICS).stat().st_mtime_ns
    main()
    assert (first / METRICS).stat().st_mtime_ns == before


def shown_epochs(output: Path) -> int:
    return sum(line.startswith("epoch ") for line in (output / "log").read_text().splitlines())
