"""One training at growing amounts of data: errors of training, validation and benchmark images side by side.

The amounts are nested: what a smaller one holds, a larger one holds too. The benchmark set is the test split,
or all images of another folder. What comes of it is the report that `docs/watch.md` describes.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crowd.core.clock import now, rfc3339
from crowd.core.errors import field_error
from crowd.ml.curves import draw_growth
from crowd.ml.data import TEST, TRAIN, VALIDATION, DataError, DataSet, Sample
from crowd.ml.hyper import Task
from crowd.ml.metrics import Figures
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.run import WEIGHTS, Watcher, evaluate, train
from crowd.ml.training.task import Setting
from crowd.taxonomy import Taxonomy

# By so much the error of our own data's net is to be smaller than with other weights (the guideline's 5 %).
GOAL = 0.05
REPORT = "growth.json"
PLOT = "growth.png"
# What stands for the error (1 - it), the top-3 accuracy, and the figures of single subjects, by task.
HEADLINES: Mapping[Task, str] = {
    Task.ATTRIBUTES: "top1",
    Task.STYLES: "mAP",
    Task.SEGMENTATION: "mask_AP50",
}
TOP3: Mapping[Task, str] = {Task.ATTRIBUTES: "top3", Task.STYLES: "recall@3"}
SUBJECTS: Mapping[Task, tuple[str, str]] = {
    Task.ATTRIBUTES: ("attributes", "top1"),
    Task.STYLES: ("labels", "AP"),
}


def grow(
    setting: Setting,
    data: DataSet,
    taxonomy: Taxonomy,
    ranks: Ranks,
    watcher: Watcher,
    shares: Sequence[float],
    *,
    benchmark: DataSet | None = None,
    other_weights: Path | None = None,
) -> dict[str, Any]:
    """Train at each share (0 to 1) of the training split; leaves and returns the report, with a plot.

    With `other_weights` the net is trained once more on all of it, begun with these, to compare. Raises what
    `train` raises, and a 422 for shares of which the smallest holds no image.
    """
    if benchmark is not None:
        data = data.tested_on(benchmark)
    if not data.of(TEST):
        raise DataError(f"{data.folder}: has no test images; name a benchmark set")
    points = [
        _point(setting, data, taxonomy, ranks, watcher, share, setting.output / f"{share:.3f}")
        for share in sorted(set(shares))
    ]
    report: dict[str, Any] = {
        "task": setting.task.value,
        "model": setting.model,
        "headline": HEADLINES[setting.task],
        "benchmark": (benchmark or data).folder.name,
        "seed": setting.seed,
        "at": rfc3339(now()),
        "points": points,
        "compared": None,
    }
    if other_weights is not None:
        told = dataclasses.replace(setting, weights=other_weights)
        other = _point(told, data, taxonomy, ranks, watcher, points[-1]["share"], setting.output / "other")
        gain = other["test"]["error"] - points[-1]["test"]["error"]
        told_of = {"weights": other_weights.name, "point": other}
        report["compared"] = {**told_of, "gain": gain, "goal": GOAL, "reached": gain >= GOAL}
    if ranks.leads:
        _put(setting.output / REPORT, json.dumps(report, ensure_ascii=False, indent=1).encode())
        _put(setting.output / PLOT, draw_growth(report))
    return report


def last(report: Mapping[str, Any]) -> dict[str, Figures]:
    """The benchmark figures of the largest amount, of the model and of the baseline."""
    point = report["points"][-1]
    return {"model": point[TEST], "prior": point["prior"]}


def part_of(samples: Sequence[Sample], share: float, seed: int) -> list[Sample]:
    """So many of the samples; which, follows from numbers and seed. Larger shares hold smaller ones."""
    ranked = sorted(samples, key=lambda sample: hashlib.sha256(f"{seed}/{sample.id}".encode()).digest())
    return sorted(ranked[: round(share * len(ranked))], key=lambda sample: sample.id)


def _point(
    setting: Setting,
    data: DataSet,
    taxonomy: Taxonomy,
    ranks: Ranks,
    watcher: Watcher,
    share: float,
    output: Path,
) -> dict[str, Any]:
    learnt = part_of(data.of(TRAIN), share, setting.seed)
    if not learnt:
        raise field_error("--grow", f"{share} of the training images is none")
    output.mkdir(parents=True, exist_ok=True)
    here = dataclasses.replace(data, samples=(*learnt, *data.of(VALIDATION), *data.of(TEST)))
    told = dataclasses.replace(setting, output=output)
    metrics = train(told, here, taxonomy, ranks, watcher)
    # A training tells how it does on images that it did not learn from; here its own are asked for too.
    own = evaluate(output / WEIGHTS, told, here, taxonomy, ranks, TRAIN)
    figures = {TRAIN: own["model"], VALIDATION: metrics[VALIDATION]["model"], TEST: metrics[TEST]["model"]}
    return {
        "share": share,
        "images": len(learnt),
        **{split: _told(setting.task, each) for split, each in figures.items()},
        "prior": _told(setting.task, metrics[TEST]["prior"]),
    }


def _told(task: Task, figures: Figures) -> dict[str, Any]:
    by: dict[str, float | None] = {}
    if task in SUBJECTS:
        heading, name = SUBJECTS[task]
        by = {subject: _error(each[name]) for subject, each in figures[heading].items()}
    else:
        by = {part: _error(value) for part, value in figures["mask_AP50_by_part"].items()}
    return {
        "error": _error(figures[HEADLINES[task]]),
        "top3": figures[TOP3[task]] if task in TOP3 else None,
        "by": by,
    }


def _error(score: float | None) -> float | None:
    return None if score is None else 1.0 - score


def _put(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
