"""FashionNet: attributes of all garments of an image at once, from where they are and from the whole."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from crowd.ml.data import DataSet, Sample
from crowd.ml.metrics import Array, Figures, attribute_figures
from crowd.ml.nets import FashionNet, detection_weight
from crowd.ml.training.attributes import HEADLINE, begin, prior_scores, truth_of
from crowd.ml.training.datasets import Dice, Outfits, batches, plain_loader
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Prepared, Setting, build, preprocess_of
from crowd.taxonomy import Taxonomy


def prepare(data: DataSet, taxonomy: Taxonomy, setting: Setting, net: nn.Module | None = None) -> Prepared:
    """All attributes that occur, learnt from whole images, by `net` if it is given.

    In training and in evaluation the net is told where the garments are, as it is in labelling; the losses of
    finding them weigh much and little in turn. Raises DataError, WeightsError and a 422.
    """
    samples, asked, questions = begin(data, taxonomy)
    parts = [part.key for part in taxonomy.parts]
    hyper = setting.hyper
    options = {
        "questions": questions,
        "parts": len(parts),
        "backbone": hyper.backbone,
        "size": hyper.image_size,
    }
    net = net or build(setting, **options)
    fashion_net = cast(FashionNet, net)
    preprocess, dice = preprocess_of(net), Dice(setting.seed)

    def outfits(shown: Sequence[Sample]) -> Outfits:
        return Outfits(shown, asked, parts, preprocess, dice)

    def loss_of(model: nn.Module, batch: tuple[Tensor, dict[str, Any]]) -> Tensor:
        images, targets = batch
        weight = detection_weight(int(targets["round"][0]))
        losses = fashion_net.losses(model(images, targets["boxes"]), targets, weight=weight)
        return torch.stack(list(losses.values())).sum()

    def figures_of(model: nn.Module, shown: Sequence[Sample], ranks: Ranks) -> Figures:
        found = predict(model, outfits(shown), ranks, hyper.batch_size, hyper.workers)
        truth = truth_of(outfits(shown).crops)
        seated = sorted(found)
        return attribute_figures(
            {key: np.stack([found[number][key] for number in seated]) for key in asked},
            {key: truth[key][seated] for key in asked},
        )

    def prior_of(shown: Sequence[Sample]) -> Figures:
        crops = outfits(shown).crops
        return attribute_figures(prior_scores(samples, crops), truth_of(crops))

    return Prepared(
        net,
        {
            "stage": "attributes",
            "net": setting.model,
            "options": {**options, **setting.options},
            "classes": {key: list(each.values) for key, each in asked.items()},
            "multiple": [key for key, each in asked.items() if each.multiple],
            "parts": parts,
            "inputs": {
                "size": [preprocess.size, preprocess.size],
                "mean": list(preprocess.mean),
                "std": list(preprocess.std),
                "fit": "squash",
                "crop": "image",
                "margin": 0.0,
            },
        },
        outfits(samples),
        loss_of,
        figures_of,
        prior_of,
        HEADLINE,
    )


@torch.inference_mode()
def predict(
    model: nn.Module, outfits: Outfits, ranks: Ranks, batch_size: int, workers: int
) -> Mapping[int, Mapping[str, Array]]:
    """Logits (values,) by attribute of every seated garment, by its number among the crops, in every rank."""
    model.eval()
    loader = plain_loader(outfits, ranks, batch_size=batch_size, workers=workers)
    places = iter(range(ranks.rank, len(outfits), ranks.world))
    mine: list[tuple[int, dict[str, Array]]] = []
    for images, targets in batches(loader):
        read = model(images.to(ranks.device), targets["boxes"].to(ranks.device))["attributes"]
        logits = {key: value.float().cpu().numpy() for key, value in read.items()}
        for row in range(len(images)):
            place = next(places)
            for seat, part in enumerate(outfits.parts):
                number = outfits.seat(place, part)
                if number is not None:
                    mine.append((number, {key: value[row, seat] for key, value in logits.items()}))
    return dict(ranks.gather(mine))
