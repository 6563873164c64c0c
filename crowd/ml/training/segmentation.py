"""Garments of a whole image, each with its box and mask, by a detector with torchvision's convention."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from crowd.ml.data import TRAIN, DataError, DataSet, Garment, Sample
from crowd.ml.metrics import Array, Figures, detection_figures
from crowd.ml.training.datasets import Dice, GarmentImages, as_lists, batches, mask_of, plain_loader, rle_of
from crowd.ml.training.ranks import Ranks
from crowd.ml.training.task import Prepared, Setting, build, preprocess_of
from crowd.taxonomy import Taxonomy

HEADLINE = "mask_AP50"
# The side of the grid on which masks are averaged for the baseline.
GRID = 64


def prepare(data: DataSet, taxonomy: Taxonomy, setting: Setting, net: nn.Module | None = None) -> Prepared:
    """The parts of the taxonomy, learnt from outlines, by `net` if it is given.

    Raises DataError, WeightsError and a 422.
    """
    parts = [part.key for part in taxonomy.parts]
    samples = [sample for sample in data.of(TRAIN) if sample.garments]
    if not samples:
        raise DataError(f"{data.folder}: no training image has an outlined garment")
    hyper = setting.hyper
    options = {
        "classes": len(parts),
        "backbone": hyper.backbone,
        **_scales(hyper.image_size),
        **_norm(setting),
    }
    net = net or build(setting, **options)
    preprocess = preprocess_of(net)
    dice = Dice(setting.seed)

    def figures_of(model: nn.Module, shown: Sequence[Sample], ranks: Ranks) -> Figures:
        images = GarmentImages(shown, parts, preprocess, dice)
        found = detect(model, images, ranks, hyper.batch_size, hyper.workers)
        return detection_figures(coco_document(shown, parts), found)

    def prior_of(shown: Sequence[Sample]) -> Figures:
        return detection_figures(coco_document(shown, parts), _prior(samples, shown, parts))

    return Prepared(
        net,
        {
            "stage": "segmentation",
            "net": setting.model,
            "options": {**options, **setting.options},
            "classes": parts,
            "inputs": {
                "size": [hyper.image_size, hyper.image_size],
                "mean": list(preprocess.mean),
                "std": list(preprocess.std),
                "fit": "pad",
                "crop": "image",
                "margin": 0.0,
            },
        },
        GarmentImages(samples, parts, preprocess, dice),
        lambda model, batch: _summed(model(*batch)),
        figures_of,
        prior_of,
        HEADLINE,
        as_lists,
    )


def _scales(shorter: int) -> dict[str, Any]:
    """Images are scaled to this shorter side, unless the longer one then passes five thirds of it.

    Anchors are those of torchvision at 512 px and more, and shrink with smaller images.
    """
    share = min(1.0, max(0.25, shorter / 512))
    return {
        "min_size": shorter,
        "max_size": round(shorter * 5 / 3),
        "anchor_sizes": [size * share for size in (32, 64, 128, 256, 512)],
        "canonical_size": 224 * share,
    }


def _norm(setting: Setting) -> dict[str, Any]:
    """Published weights keep the statistics they came with, and their first stages."""
    return {"norm": "frozen", "frozen_stages": 2} if setting.weights else {"norm": "batch"}


def _summed(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


@torch.inference_mode()
def detect(
    model: nn.Module, images: GarmentImages, ranks: Ranks, batch_size: int, workers: int
) -> list[dict[str, Any]]:
    """What is found on all images, in COCO's form, in every rank."""
    model.eval()
    found: list[dict[str, Any]] = []
    loader = plain_loader(images, ranks, batch_size=batch_size, workers=workers, collate=as_lists)
    for batch, targets in batches(loader):
        for target, result in zip(targets, model([each.to(ranks.device) for each in batch]), strict=True):
            found += _as_coco(int(target["image_id"]), result)
    return ranks.gather(found)


def _as_coco(image_id: int, result: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    rows = []
    masks = (result["masks"][:, 0] > 0.5).to(torch.uint8).cpu().numpy()
    for box, label, score, mask in zip(
        result["boxes"].tolist(), result["labels"].tolist(), result["scores"].tolist(), masks, strict=True
    ):
        left, top, right, bottom = box
        rows.append(
            {
                "image_id": image_id,
                "category_id": label,
                "score": score,
                "bbox": [left, top, right - left, bottom - top],
                "segmentation": coco_mask.encode(np.asfortranarray(mask)),
            }
        )
    return rows


def coco_document(samples: Sequence[Sample], parts: Sequence[str]) -> dict[str, Any]:
    """The samples' garments in COCO's form; categories count from 1 in the order of parts."""
    annotations: list[dict[str, Any]] = []
    for sample in samples:
        for garment in sample.garments:
            runs = rle_of(garment, sample)
            left, top, right, bottom = garment.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": sample.id,
                    "category_id": parts.index(garment.part) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": runs,
                    "area": float(coco_mask.area(runs)),
                    "iscrowd": 0,
                }
            )
    return {
        "info": {},
        "images": [{"id": each.id, "width": each.width, "height": each.height} for each in samples],
        "categories": [{"id": place, "name": part} for place, part in enumerate(parts, 1)],
        "annotations": annotations,
    }


def _prior(samples: Sequence[Sample], shown: Sequence[Sample], parts: Sequence[str]) -> list[dict[str, Any]]:
    """On every image each part's mean mask, where most of them lie, as sure as the part is frequent."""
    masks, shares = _mean_masks(samples)
    found = []
    for sample in shown:
        for part, mean in masks.items():
            mask = np.asarray(
                Image.fromarray(mean).resize((sample.width, sample.height), Image.Resampling.BILINEAR)
            )
            runs = coco_mask.encode(np.asfortranarray((mask > 0.5).astype(np.uint8)))
            found.append(
                {
                    "image_id": sample.id,
                    "category_id": parts.index(part) + 1,
                    "score": shares[part],
                    "bbox": coco_mask.toBbox(runs).tolist(),
                    "segmentation": runs,
                }
            )
    return found


def _mean_masks(samples: Sequence[Sample]) -> tuple[dict[str, Array], dict[str, float]]:
    sums: dict[str, Array] = defaultdict(lambda: np.zeros((GRID, GRID), np.float32))
    counts: dict[str, int] = defaultdict(int)
    for sample in samples:
        for garment in sample.garments:
            sums[garment.part] += _on_grid(garment, sample)
            counts[garment.part] += 1
    means = {part: sums[part] / counts[part] for part in sums}
    return means, {part: min(1.0, counts[part] / len(samples)) for part in sums}


def _on_grid(garment: Garment, sample: Sample) -> Array:
    mask = Image.fromarray(mask_of(garment, sample) * np.uint8(255))
    return cast(Array, np.asarray(mask.resize((GRID, GRID), Image.Resampling.BOX), np.float32) / 255)
