"""One training from the first step to the files it leaves, and the evaluation of what was trained.

Reads top to bottom: prepare, then epoch by epoch learn, look, remember; in the end evaluate the best
epoch beside the baseline and write. All files appear as a whole or not at all.
"""

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crowd.core.clock import now, rfc3339
from crowd.core.errors import Problem
from crowd.ml.curves import draw_curves
from crowd.ml.data import TEST, TRAIN, VALIDATION, DataError, DataSet
from crowd.ml.hyper import Hyper, Optimizer, Schedule
from crowd.ml.metrics import Figures
from crowd.ml.training import attributes, fashionnet, segmentation, styles
from crowd.ml.training.datasets import batches, training_loader
from crowd.ml.training.model_card import render
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Prepared, Setting, backbone_of
from crowd.ml.weights import load_model, save_model
from crowd.taxonomy import Taxonomy

WEIGHTS = "model.safetensors"
METRICS = "metrics.json"
CARD = "MODEL_CARD.md"
CURVES = "curves.png"
CHECKPOINT = "checkpoint.pt"
PREPARE: Mapping[str, Callable[..., Prepared]] = {
    "attributes": attributes.prepare,
    "fashionnet": fashionnet.prepare,
    "ml_gcn": styles.prepare,
    "query2label": styles.prepare,
    "baseline": styles.prepare,
    "maskrcnn": segmentation.prepare,
}


class NotFinite(Exception):
    """The loss is not a number any more; the message says where."""


class Watcher(Protocol):
    """Who is told how the training goes."""

    def epoch_begins(self, epoch: int, epochs: int, steps: int) -> None:
        """An epoch of so many steps."""

    def step_done(self, loss: float) -> None:
        """One step, with its loss."""

    def epoch_done(self, row: Mapping[str, Any]) -> None:
        """The epoch's line of the history."""


def train(
    setting: Setting,
    data: DataSet,
    taxonomy: Taxonomy,
    ranks: Ranks,
    watcher: Watcher,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Train, and leave weights, metrics, model card and curves in the output folder; returns the metrics.

    With `resume` it goes on after the last whole epoch, to the same end. Raises DataError, WeightsError,
    Problem for a checkpoint of another training, and NotFinite.
    """
    _require(data, TRAIN, VALIDATION)
    torch.manual_seed(setting.seed)
    prepared = PREPARE[setting.model](data, taxonomy, setting)
    net, hyper = prepared.net.to(ranks.device), setting.hyper
    model = DistributedDataParallel(net) if ranks.world > 1 else net
    loader, sampler = training_loader(
        prepared.train,
        ranks,
        batch_size=hyper.batch_size,
        workers=hyper.workers,
        seed=setting.seed,
        collate=prepared.collate,
    )
    optimizer = make_optimizer(net, setting)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_factor(hyper, len(loader)))
    state = _Progress(_begun_with(setting, data), net, optimizer, schedule)
    if resume:
        state.load(setting.output / CHECKPOINT, ranks.device)
    for epoch in range(len(state.history) + 1, hyper.epochs + 1):
        started = time.monotonic(), time.process_time()
        # Dropout and the like are thrown anew in each epoch, be it the first of this process or not.
        torch.manual_seed(setting.seed * 1_000_003 + epoch * ranks.world + ranks.rank)
        sampler.set_epoch(epoch)
        watcher.epoch_begins(epoch, hyper.epochs, len(loader))
        lr = float(schedule.get_last_lr()[-1])
        loss = train_one_epoch(model, prepared, loader, optimizer, schedule, setting, ranks, watcher)
        figures = prepared.figures_of(net, data.of(VALIDATION), ranks)
        row = state.remember(epoch, loss, lr, figures[prepared.headline] or 0.0, started)
        if ranks.leads:
            state.save(setting.output / CHECKPOINT)
            watcher.epoch_done({**row, "name": prepared.headline})
    net.load_state_dict(state.best)
    metrics = _final_metrics(setting, data, prepared, ranks, state)
    if ranks.leads:
        _write_all(setting, taxonomy, data, prepared, metrics)
    return metrics


def train_one_epoch(
    model: nn.Module,
    prepared: Prepared,
    loader: "torch.utils.data.DataLoader[Any]",
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    setting: Setting,
    ranks: Ranks,
    watcher: Watcher,
) -> float:
    """One pass over the training images; returns the mean loss. Raises NotFinite."""
    model.train()
    total = 0.0
    for step, batch in enumerate(batches(loader), 1):
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=setting.amp):
            loss = prepared.loss_of(model, moved(batch, ranks.device))
        value = ranks.mean(loss)
        if not math.isfinite(value):
            raise NotFinite(f"the loss is {value} at step {step} of {len(loader)}: try a smaller --lr")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if setting.hyper.clip:
            nn.utils.clip_grad_norm_(model.parameters(), setting.hyper.clip)
        optimizer.step()
        schedule.step()
        total += value
        watcher.step_done(value)
    return total / max(1, len(loader))


def evaluate(
    path: Path, setting: Setting, data: DataSet, taxonomy: Taxonomy, ranks: Ranks, split: str
) -> dict[str, Figures]:
    """The figures of a trained file on a split, and the baseline's beside it. Raises as `train` does."""
    _require(data, TRAIN, split)
    net, card = load_model(path)
    if card["stage"] != setting.task.value:
        raise Problem("other_task", f"{path}: was trained for {card['stage']}, not {setting.task.value}")
    told = dataclasses.replace(setting, model=card["net"])
    prepared = PREPARE[told.model](data, taxonomy, told, net.to(ranks.device))
    if card["classes"] != prepared.card["classes"]:
        raise Problem("other_classes", f"{path}: was trained for other classes than this data has")
    return {
        "model": prepared.figures_of(net, data.of(split), ranks),
        "prior": prepared.prior_of(data.of(split)),
    }


def make_optimizer(net: nn.Module, setting: Setting) -> torch.optim.Optimizer:
    """The optimizer; a backbone that began with published weights has a learning rate of its own."""
    hyper = setting.hyper
    pretrained = {id(each) for each in backbone_of(net).parameters()} if setting.weights else set()
    trained = [each for each in net.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in trained if id(each) in pretrained], "lr": hyper.lr_pretrained},
        {"params": [each for each in trained if id(each) not in pretrained], "lr": hyper.lr},
    ]
    groups = [group for group in groups if group["params"]]
    if hyper.optimizer is Optimizer.ADAMW:
        return torch.optim.AdamW(groups, weight_decay=hyper.weight_decay)
    return torch.optim.SGD(groups, momentum=hyper.momentum, weight_decay=hyper.weight_decay)


def lr_factor(hyper: Hyper, steps: int) -> Callable[[int], float]:
    """What the learning rate is multiplied by at each step of a training of `steps` steps an epoch."""
    total, warm = hyper.epochs * steps, hyper.warm_up * steps

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if hyper.schedule is Schedule.COSINE:
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))
        if hyper.schedule is Schedule.STEPS:
            return 0.1 ** sum(step >= share * total for share in (0.6, 0.8))
        return 1.0

    return factor


def moved(batch: Any, device: torch.device) -> Any:
    """Every tensor of a nest of lists, tuples and dictionaries on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    return type(batch)(moved(each, device) for each in batch)


class _Progress:
    """How far a training has come, and the best of it: what a checkpoint holds."""

    def __init__(
        self,
        begun_with: Mapping[str, Any],
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
    ) -> None:
        self._begun_with, self._net = begun_with, net
        self._optimizer, self._schedule = optimizer, schedule
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}

    def remember(
        self, epoch: int, loss: float, lr: float, headline: float, started: tuple[float, float]
    ) -> dict[str, Any]:
        """Note an epoch that began at these seconds of the clock and of this process.

        Of equally good ones the first stays the best.
        """
        before = max((row["headline"] for row in self.history), default=-math.inf)
        if headline > before:
            self.best = {name: each.detach().cpu().clone() for name, each in self._net.state_dict().items()}
        row = {
            "epoch": epoch,
            "loss": loss,
            "headline": headline,
            "best": max(headline, before),
            "lr": lr,
            "seconds": round(time.monotonic() - started[0], 3),
            "processor_seconds": round(time.process_time() - started[1], 3),
        }
        self.history.append(row)
        return row

    def save(self, path: Path) -> None:
        part = path.with_name(f".{path.name}.part")
        torch.save(
            {
                "told": dict(self._begun_with),
                "net": self._net.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
                "history": self.history,
                "best": self.best,
            },
            part,
        )
        os.replace(part, path)

    def load(self, path: Path, device: torch.device) -> None:
        """Take up what a checkpoint holds. Raises Problem."""
        if not path.is_file():
            raise Problem("nothing_to_resume", f"{path}: there is nothing to resume")
        state = torch.load(path, map_location=device, weights_only=True)
        for name, value in self._begun_with.items():
            before = state["told"].get(name)
            if before != value:
                raise Problem("other_training", f"{path}: was begun with {name} {before}, not {value}")
        self._net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.history = state["history"]
        self.best = {name: each.cpu() for name, each in state["best"].items()}


def _told(setting: Setting) -> dict[str, Any]:
    """What must be the same for a training to be the same, as plain data."""
    hyper = {name: _plain(value) for name, value in dataclasses.asdict(setting.hyper).items()}
    del hyper["workers"]
    return {
        "task": setting.task.value,
        "model": setting.model,
        "seed": setting.seed,
        "amp": setting.amp,
        "options": json.dumps(dict(setting.options), sort_keys=True),
        **hyper,
    }


def _begun_with(setting: Setting, data: DataSet) -> dict[str, Any]:
    """The same with what is read from files: data and files by their content, wherever they lie."""
    return {
        **_told(setting),
        "data": data.digest(TRAIN, VALIDATION),
        "weights": _file_digest(setting.weights),
        "word vectors": _file_digest(setting.word_vectors),
    }


def _file_digest(path: Path | None) -> str | None:
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def _require(data: DataSet, *splits: str) -> None:
    for split in splits:
        if not data.of(split):
            raise DataError(f"{data.folder}: has no {split} images")


def _final_metrics(
    setting: Setting, data: DataSet, prepared: Prepared, ranks: Ranks, state: _Progress
) -> dict[str, Any]:
    figures = {
        split: {
            "model": prepared.figures_of(prepared.net, data.of(split), ranks),
            "prior": prepared.prior_of(data.of(split)),
        }
        for split in (VALIDATION, TEST)
        if data.of(split)
    }
    return {
        **_told(setting),
        "headline": prepared.headline,
        "initialised": f"published weights {setting.weights.name}" if setting.weights else "random",
        "images": {split: len(data.of(split)) for split in (TRAIN, VALIDATION, TEST)},
        "processes": ranks.world,
        "device": ranks.device.type,
        "best_epoch": max(state.history, key=lambda row: (row["headline"], -row["epoch"]))["epoch"],
        "epochs_done": state.history,
        **figures,
    }


def _write_all(
    setting: Setting, taxonomy: Taxonomy, data: DataSet, prepared: Prepared, metrics: Mapping[str, Any]
) -> None:
    """Weights, figures, curves and the model card; the checkpoint is done with."""
    held_out = TEST if TEST in metrics else VALIDATION
    score = metrics[held_out]["model"][prepared.headline]
    card = {
        **prepared.card,
        "benchmark": {
            "set": data.called(held_out),
            "measure": prepared.headline,
            "score": score or 0,
        },
        "metrics": _headlines(metrics[held_out]["model"]),
        **_trained_on(data, held_out),
        "prior": _headlines(metrics[held_out]["prior"]),
        "taxonomy": {"name": taxonomy.name, "version": taxonomy.version, "digest": taxonomy.digest},
        "training": {**_told(setting), "initialised": metrics["initialised"], "images": metrics["images"]},
        "trained_at": rfc3339(now()),
    }
    output = setting.output
    save_model(output / WEIGHTS, prepared.net, card)
    _put(output / CURVES, draw_curves(metrics))
    _put(output / CARD, render(card, metrics, data).encode())
    _put(output / METRICS, json.dumps(metrics, ensure_ascii=False, indent=1).encode())
    (output / CHECKPOINT).unlink(missing_ok=True)


def _trained_on(data: DataSet, split: str) -> dict[str, Any]:
    """The release that the figures are noted with when the model is registered."""
    if data.release is None:
        return {}
    name, created_at = data.release
    return {"release": {"name": name, "created_at": created_at, "split": split}}


def _headlines(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if not isinstance(value, Mapping)}


def _put(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
