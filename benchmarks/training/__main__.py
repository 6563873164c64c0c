"""`python -m benchmarks.training`: trains every model on a drawn set, prints it beside the baseline.

It may be cut off, and run in pieces: what is trained already is not trained again, and a training that was
broken off goes on after its last whole epoch.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.plans import BARS, PLANS, Plan, Run
from crowd.ml.data import TEST, read_folder
from crowd.ml.hyper import Hyper, Task
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.run import WEIGHTS, evaluate
from crowd.ml.training.task import Setting
from crowd.simulation.synthetic import Order, write_set
from crowd.taxonomy import load_taxonomy

SET_SEED, HELD_OUT_SEED = 11, 12
# What a training leaves in the end and after each epoch, and what it comes to on images of the other set.
METRICS, CHECKPOINT, HELD_OUT = "metrics.json", "checkpoint.pt", "held-out.json"


def main() -> int:
    """Draw, train what is not trained yet, print the table; 1 if something does not hold."""
    given = arguments()
    plan = PLANS[given.plan]
    started = time.monotonic()
    data = draw_set(given.out, Order(plan.images, SET_SEED, plan.size))
    held = draw_set(given.out, Order(plan.held_out, HELD_OUT_SEED, plan.size)) if plan.held_out else None
    wanted = [
        (run, seed)
        for run in plan.runs
        if run.name in given.models or not given.models
        for seed in range(run.seeds)
    ]
    with ThreadPoolExecutor(given.at_once) as pool:
        done = list(pool.map(lambda each: turn(plan, each[0], each[1], (data, held), given, started), wanted))
    rows = [
        row(run, [m for (other, _), m in zip(wanted, done, strict=True) if m and other is run])
        for run in plan.runs
    ]
    found = [each for each in rows if each]
    print_table(found)
    faults = shortcomings(found, plan.most_seconds)
    left = [f"{run.name} seed {seed}" for (run, seed), m in zip(wanted, done, strict=True) if m is None]
    print_faults(left, faults)
    if given.json:
        told = {"plan": given.plan, "rows": found, "faults": faults, "left": left}
        given.json.write_text(json.dumps(told, indent=1))
    return 1 if faults or left else 0


def draw_set(out: Path, order: Order) -> Path:
    """The folder of these images, drawn unless a run before this one has drawn them all."""
    data = out / f"set-{order.images}-{order.size}{'' if order.seed == SET_SEED else '-held-out'}"
    drawn = data.with_name(f"{data.name}.drawn")
    if drawn.is_file():
        return data
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    write_set(data, order, os.cpu_count() or 1, lambda done: None)
    drawn.touch()
    print(f"{order.images} images of {order.size} px in {time.monotonic() - started:.0f} s", flush=True)
    return data


def turn(
    plan: Plan,
    run: Run,
    seed: int,
    sets: tuple[Path, Path | None],
    given: argparse.Namespace,
    started: float,
) -> dict[str, Any] | None:
    """A training's figures, or None if it failed, or if it is too late to begin it."""
    output = folder_of(run, seed, given)
    late = given.stop_after is not None and time.monotonic() - started > 60 * given.stop_after
    if late and not (output / METRICS).is_file():
        return None
    metrics = train(plan, run, seed, sets[0], output)
    if metrics is None:
        return None
    learnt_from, benchmark = sets
    if benchmark:
        metrics = {**metrics, TEST: test(run, learnt_from, benchmark, output)}
    figure = BARS[run.task].figure
    pair = (metrics[TEST][whose][figure] for whose in ("model", "prior"))
    print(f"{run.name} seed {seed}: {figure} {next(pair):.3f}, prior {next(pair):.3f}", flush=True)
    return metrics


def test(run: Run, data: Path, held: Path, output: Path) -> dict[str, Any]:
    """The figures of what was trained on `data` on all images of the set `held`, kept beside it."""
    kept = output / HELD_OUT
    if not kept.is_file():
        taxonomy = load_taxonomy()
        both = read_folder(data, taxonomy).tested_on(read_folder(held, taxonomy))
        hyper = Hyper(batch_size=8 if run.task == Task.SEGMENTATION else 64, workers=0)
        setting = Setting(Task(run.task), run.model, hyper, output)
        alone = Ranks(0, 1, torch.device("cpu"))
        figures = evaluate(output / WEIGHTS, setting, both, taxonomy, alone, TEST)
        kept.write_text(json.dumps(figures))
    found: dict[str, Any] = json.loads(kept.read_bytes())
    return found


def folder_of(run: Run, seed: int, given: argparse.Namespace) -> Path:
    """Where a training leaves what comes of it."""
    return Path(given.out / given.plan / f"{run.task}-{run.name}-{seed}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--plan", choices=PLANS, default="cpu")
    parser.add_argument("--models", type=lambda text: text.split(","), default=[], help="only these: a,b")
    parser.add_argument("--out", type=Path, default=Path("training-runs"), help="sets and models; kept")
    parser.add_argument("--at-once", type=int, default=1, help="trainings side by side")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES", help="begin no training after these")
    parser.add_argument("--json", type=Path, help="the table as JSON")
    return parser.parse_args()


def train(plan: Plan, run: Run, seed: int, data: Path, output: Path) -> dict[str, Any] | None:
    """One training as a user starts it, unless its figures are there already; None if it failed."""
    if not (output / METRICS).is_file():
        output.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "crowd", "train", run.task, str(data), "--model", run.model]
        command += ["--seed", str(seed), "--output", str(output), *plan.common, *run.options]
        if (output / CHECKPOINT).is_file():
            command.append("--resume")
        started = time.monotonic()
        with (output / "log").open("a") as log:
            code = subprocess.call(command, stdout=log, stderr=subprocess.STDOUT)
        seconds = time.monotonic() - started
        print(f"{run.task} {run.name} seed {seed}: {seconds:.0f} s, exit code {code}", flush=True)
        if code:
            print((output / "log").read_text()[-2000:], flush=True)
            return None
    metrics: dict[str, Any] = json.loads((output / METRICS).read_bytes())
    return metrics


def row(run: Run, done: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The figures of a model, the mean of its seeds."""
    if not done:
        return None
    bar = BARS[run.task]
    scores = [metrics["test"]["model"][bar.figure] for metrics in done]
    others = {
        name: statistics.fmean(metrics["test"]["model"][name] for metrics in done)
        for name, value in done[0]["test"]["model"].items()
        if isinstance(value, float)
    }
    return {
        "task": run.task,
        "model": run.name,
        "backbone": done[0]["backbone"],
        "px": done[0]["image_size"],
        "images": done[0]["images"]["train"],
        "seeds": len(done),
        "figure": bar.figure,
        "score": statistics.fmean(scores),
        "scores": scores,
        "prior": done[0]["test"]["prior"][bar.figure],
        "seconds": statistics.fmean(seconds_of(metrics) for metrics in done),
        "device": done[0]["device"],
        "all": others,
        "all_prior": {name: done[0]["test"]["prior"][name] for name in others},
    }


def seconds_of(metrics: dict[str, Any]) -> float:
    """How long the epochs took: by the clock, or of the processor if that is less.

    Others on the machine lengthen the one, several threads the other.
    """
    epochs = metrics["epochs_done"]
    times = (sum(epoch[name] for epoch in epochs) for name in ("seconds", "processor_seconds"))
    return float(min(times))


def shortcomings(rows: Sequence[dict[str, Any]], most_seconds: float = math.inf) -> list[str]:
    """What does not hold: a model near the prior or too slow, or a graph that makes things worse."""
    faults = []
    for each in rows:
        bar = BARS[each["task"]]
        least = max(bar.least, each["prior"] + bar.above_prior)
        if each["score"] < least:
            faults.append(f"{each['model']}: {bar.figure} {each['score']:.3f} is below {least:.3f}")
        if each["seconds"] > most_seconds:
            faults.append(f"{each['model']}: {each['seconds']:.0f} s are more than {most_seconds:.0f}")
    by_model = {each["model"]: each["score"] for each in rows}
    below = [
        f"ml_gcn {by_model['ml_gcn']:.3f} is below {other} {by_model[other]:.3f}"
        for other in ("baseline", "ml_gcn-without-graph")
        if {"ml_gcn", other} <= set(by_model) and by_model["ml_gcn"] < by_model[other]
    ]
    return [*faults, *below]


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    heads = ("model", "backbone", "px", "images", "seeds", "figure", "score", "prior", "seconds")
    print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for each in rows:
        spread = f" ({min(each['scores']):.3f}–{max(each['scores']):.3f})" if len(each["scores"]) > 1 else ""
        cells = [each["model"], each["backbone"], each["px"], each["images"], each["seeds"], each["figure"]]
        cells += [f"{each['score']:.3f}{spread}", f"{each['prior']:.3f}", f"{each['seconds']:.0f}"]
        print(f"| {' | '.join(map(str, cells))} |")
    print()
    for each in rows:
        pairs = (
            f"{name} {value:.3f} ({each['all_prior'][name] or 0:.3f})" for name, value in each["all"].items()
        )
        print(f"{each['model']}: {', '.join(pairs)}")


def print_faults(left: Sequence[str], faults: Sequence[str]) -> None:
    print()
    for fault in faults:
        print(f"DOES NOT HOLD: {fault}")
    if left:
        print(f"NOT TRAINED, or failed; the same command goes on with them: {', '.join(left)}")


if __name__ == "__main__":
    sys.exit(main())
