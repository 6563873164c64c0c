"""Attributes of garments: one crop, one answer to each attribute that the data tells of."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from crowd.ml.data import TRAIN, DataError, DataSet, Sample
from crowd.ml.metrics import Array, Figures, attribute_figures
from crowd.ml.training.datasets import CROP_MARGIN, Asked, Dice, GarmentCrops, batches, plain_loader
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Prepared, Setting, build, preprocess_of
from crowd.taxonomy import Taxonomy

HEADLINE = "top1"


def prepare(data: DataSet, taxonomy: Taxonomy, setting: Setting, net: nn.Module | None = None) -> Prepared:
    """All attributes that occur, learnt from crops, by `net` if it is given.

    Raises DataError, WeightsError and a 422.
    """
    samples, asked, questions = begin(data, taxonomy)
    hyper = setting.hyper
    options = {
        "questions": questions,
        "backbone": hyper.backbone,
        "size": hyper.image_size,
    }
    net = net or build(setting, **options)
    preprocess = preprocess_of(net)
    dice = Dice(setting.seed)

    def figures_of(model: nn.Module, shown: Sequence[Sample], ranks: Ranks) -> Figures:
        crops = GarmentCrops(shown, asked, preprocess, dice)
        return attribute_figures(
            predict(model, crops, ranks, hyper.batch_size, hyper.workers), truth_of(crops)
        )

    def prior_of(shown: Sequence[Sample]) -> Figures:
        crops = GarmentCrops(shown, asked, preprocess, dice)
        return attribute_figures(prior_scores(samples, crops), truth_of(crops))

    return Prepared(
        net,
        {
            "stage": "attributes",
            "net": setting.model,
            "options": {**options, **setting.options},
            "classes": {key: list(each.values) for key, each in asked.items()},
            "multiple": [key for key, each in asked.items() if each.multiple],
            "inputs": {
                "size": [preprocess.size, preprocess.size],
                "mean": list(preprocess.mean),
                "std": list(preprocess.std),
                "fit": "squash",
                "crop": "region",
                "margin": CROP_MARGIN,
            },
        },
        GarmentCrops(samples, asked, preprocess, dice),
        lambda model, batch: cast(
            Tensor,
            net.loss({key: value.float() for key, value in model(batch[0]).items()}, batch[1]),  # type: ignore[operator]
        ),
        figures_of,
        prior_of,
        HEADLINE,
    )


def begin(
    data: DataSet, taxonomy: Taxonomy
) -> tuple[list[Sample], dict[str, Asked], dict[str, dict[str, int | bool]]]:
    """The training samples, the attributes they tell of, and these as options of a net. Raises DataError."""
    samples = data.of(TRAIN)
    asked = asked_of(samples, taxonomy)
    if not asked:
        raise DataError(f"{data.folder}: no training image has a garment with attributes")
    return (
        samples,
        asked,
        {key: {"values": len(each.values), "multiple": each.multiple} for key, each in asked.items()},
    )


def asked_of(samples: Sequence[Sample], taxonomy: Taxonomy) -> dict[str, Asked]:
    """The attributes that occur, in the taxonomy's order, each with all of its values."""
    seen = {key for sample in samples for garment in sample.garments for key in garment.attributes}
    return {
        attribute.key: Asked(tuple(value.key for value in attribute.values), attribute.multiple)
        for attribute in taxonomy.attributes
        if attribute.key in seen
    }


@torch.inference_mode()
def predict(
    model: nn.Module, crops: GarmentCrops, ranks: Ranks, batch_size: int, workers: int
) -> dict[str, Array]:
    """Logits (N, values) by attribute of all crops, in their order, in every rank."""
    model.eval()
    loader = plain_loader(crops, ranks, batch_size=batch_size, workers=workers)
    mine: dict[str, list[Array]] = defaultdict(list)
    for batch, _ in batches(loader):
        for key, logits in model(batch.to(ranks.device)).items():
            mine[key].append(logits.float().cpu().numpy())
    places = list(range(ranks.rank, len(crops), ranks.world))
    return {key: _in_order(places, mine[key], ranks) for key in crops.asked}


def _in_order(places: list[int], mine: list[Array], ranks: Ranks) -> Array:
    found = ranks.gather(list(zip(places, np.concatenate(mine) if mine else [], strict=True)))
    return np.stack([row for _, row in sorted(found, key=lambda pair: pair[0])])


def truth_of(crops: GarmentCrops) -> dict[str, Array]:
    """1 for every value that holds, (N, values) by attribute."""
    found: dict[str, Array] = {}
    for key, asked in crops.asked.items():
        found[key] = np.array(
            [
                [value in garment.attributes.get(key, ()) for value in asked.values]
                for _, garment in crops.garments
            ],
            dtype=np.int64,
        ).reshape(-1, len(asked.values))
    return found


def prior_scores(samples: Sequence[Sample], crops: GarmentCrops) -> dict[str, Array]:
    """How often each value holds on that part of the training images: the part itself is always known."""
    counts = _counts(samples)
    return {
        key: np.array(
            [
                [float(counts[garment.part, key][value]) for value in asked.values]
                for _, garment in crops.garments
            ]
        ).reshape(-1, len(asked.values))
        for key, asked in crops.asked.items()
    }


def _counts(samples: Sequence[Sample]) -> Mapping[tuple[str, str], Counter[str]]:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for garment in (garment for sample in samples for garment in sample.garments):
        for key, values in garment.attributes.items():
            counts[garment.part, key].update(values)
    return counts
