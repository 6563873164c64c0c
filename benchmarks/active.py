"""Whether doubtful images first is better than at random: a model learns from a drawn set, a round at a time.

    python -m benchmarks.active DIR [--seeds 5]

DIR is a drawn set (`crowd synthetic`). The crowd labels so many garments a round; which, is chosen at random,
or as the queue does it: of every batch the tenth (or the given share) that the model is least sure of comes
first (`crowd.ml.watch.sayings.doubtfulness`). The model is softmax regression of a garment's category on
colours and coarse pixels, so that a round takes a second; what counts is the order.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from crowd.ml.data import TRAIN, DataSet, read_folder
from crowd.ml.watch.sayings import doubtfulness
from crowd.policy import Stage
from crowd.taxonomy import load_taxonomy

SIDE = 12
BATCH = 32
STEPS = 150
QUESTION = "category"


def features(data: DataSet, split: str) -> tuple[Tensor, list[str]]:
    """Of every garment of a split (N, F) numbers, and its category."""
    rows, answers = [], []
    for sample in data.of(split):
        with Image.open(sample.image) as image:
            rgb = image.convert("RGB")
            for garment in sample.garments:
                if answer := garment.attributes.get(QUESTION):
                    crop = rgb.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=garment.box)
                    left, top, right, bottom = garment.box
                    shape = [
                        (right - left) / sample.width,
                        (bottom - top) / sample.height,
                        top / sample.height,
                    ]
                    rows.append(
                        np.concatenate([np.asarray(crop, np.float32).ravel() / 255, 3 * np.array(shape)])
                    )
                    answers.append(answer[0])
    return torch.tensor(np.stack(rows), dtype=torch.float32), answers


def fit(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Weights (F + 1, classes) of a softmax regression, by gradient descent with weight decay."""
    weights = torch.zeros(x.shape[1] + 1, classes, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.03, weight_decay=1e-4)
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(said(weights, x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return weights.detach()


def said(weights: Tensor, x: Tensor) -> Tensor:
    """Logits (N, classes)."""
    return x @ weights[:-1] + weights[-1]


def candidates(logits: Tensor) -> list[dict[str, Any]]:
    """What a model of attributes would hand to the queue, one entry for each garment."""
    found = []
    for row in logits.softmax(dim=1):
        best = row.topk(2)
        ranked = [
            {"value": str(int(place)), "score": float(score)}
            for score, place in zip(best.values, best.indices, strict=True)
        ]
        found.append({"regions": {"r1": {QUESTION: ranked}}})
    return found


def next_ones(waiting: Sequence[int], doubts: Sequence[float] | None, count: int, share: float) -> list[int]:
    """Which are labelled next: as they wait, or of every batch the most doubtful share before all others."""
    if doubts is None:
        return list(waiting[:count])
    forward: list[int] = []
    for start in range(0, len(waiting), BATCH):
        batch = sorted(range(start, min(start + BATCH, len(waiting))), key=lambda place: -doubts[place])
        forward += [waiting[place] for place in batch[: int(share * len(batch))]]
    rest = [each for each in waiting if each not in set(forward)]
    return [*forward, *rest][:count]


def run(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    seed: int,
    share: float | None,
    rounds: int,
    step: int,
) -> list[tuple[float, float]]:
    """Accuracy on test garments, and its mean over categories, after each round."""
    order = torch.randperm(len(train[1]), generator=torch.Generator().manual_seed(seed)).tolist()
    labelled, waiting = order[:step], order[step:]
    classes = int(train[1].max()) + 1
    scores = []
    for _ in range(rounds):
        weights = fit(train[0][labelled], train[1][labelled], classes)
        right = said(weights, test[0]).argmax(dim=1) == test[1]
        by_class = [float(right[test[1] == label].float().mean()) for label in torch.unique(test[1])]
        scores.append((float(right.float().mean()), statistics.fmean(by_class)))
        doubts = None
        if share is not None:
            doubts = [
                doubtfulness(Stage.ATTRIBUTES, each) for each in candidates(said(weights, train[0][waiting]))
            ]
        chosen = next_ones(waiting, doubts, step, share or 0.0)
        labelled = [*labelled, *chosen]
        waiting = [each for each in waiting if each not in set(chosen)]
    return scores


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both orders side by side; exit code 1 if doubtful first is not better in the end."""
    parser = argparse.ArgumentParser(prog="benchmarks.active", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--step", type=int, default=60, help="garments that are labelled in a round")
    parser.add_argument("--share", type=float, default=0.1, help="of every batch that comes forward")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    data = read_folder(given.folder, load_taxonomy())
    x, answers = features(data, TRAIN)
    held = [features(data, split) for split in ("validation", "test")]
    names = sorted(set(answers))
    train = x, torch.tensor([names.index(each) for each in answers])
    known = [
        (row, names.index(answer))
        for rows, said_ in held
        for row, answer in zip(rows, said_, strict=True)
        if answer in names
    ]
    test = torch.stack([row for row, _ in known]), torch.tensor([label for _, label in known])
    found = {
        name: np.array(
            [run(train, test, seed, share, given.rounds, given.step) for seed in range(given.seeds)]
        )
        for name, share in (("random", None), ("doubtful first", given.share))
    }
    print("| garments labelled | random | doubtful first | by category: random | doubtful first |")
    print("|--:|--:|--:|--:|--:|")
    for number in range(given.rounds):
        cells = [f"{found[name][:, number, kind].mean():.3f}" for kind in (0, 1) for name in found]
        print(f"| {(number + 1) * given.step} | {' | '.join(cells)} |")
    gains = found["doubtful first"] - found["random"]
    mean, last = gains.mean(axis=(0, 1)), gains[:, -1].mean(axis=0)
    print(f"\nof all rounds: accuracy {mean[0]:+.4f}, by category {mean[1]:+.4f}; {given.seeds} seeds")
    print(f"of the last round: accuracy {last[0]:+.4f}, by category {last[1]:+.4f}")
    if given.json:
        given.json.write_text(json.dumps({name: each.tolist() for name, each in found.items()}))
    return 0 if min(last) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
