"""What is in a proposed region: its class, its exact box, its mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.features import STRIDES
from crowd.ml.nets.maskrcnn.boxes import are_wider_than, clip_boxes, decode_boxes, encode_boxes, grouped_nms
from crowd.ml.nets.maskrcnn.roi_align import pool_levels, roi_align
from crowd.ml.nets.maskrcnn.rpn import SMOOTH_BETA, Size
from crowd.ml.nets.maskrcnn.sampling import match_boxes, sample

_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_LEAST_SIDE = 1e-2
_BOX_BINS = 7
_MASK_BINS = 14

Target = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class RegionRules:
    """Numbers of Mask R-CNN's second stage; `overlap` and `least_score` are those of detections."""

    foreground: float = 0.5
    sampled: int = 512
    share: float = 0.25
    least_score: float = 0.05
    overlap: float = 0.5
    most: int = 100
    canonical_size: float = 224.0


class BoxHead(nn.Module):
    """Pooled regions (K, width, 7, 7) to vectors (K, hidden) by two linear layers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(width * _BOX_BINS**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)

    def forward(self, pooled: Tensor) -> Tensor:
        """The regions' vectors."""
        return functional.relu(self.fc7(functional.relu(self.fc6(pooled.flatten(1)))))


class BoxPredictor(nn.Module):
    """Vectors (K, hidden) to class logits (K, classes) and offsets (K, classes, 4); class 0 is background."""

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, classes)
        self.bbox_pred = nn.Linear(hidden, classes * 4)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and offsets."""
        offsets = self.bbox_pred(vectors).unflatten(1, (-1, 4))
        return self.cls_score(vectors).float(), offsets.float()


class MaskHead(nn.Sequential):
    """Pooled regions (K, width, 14, 14) to maps of the same shape, by four 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        steps = [nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()) for _ in range(4)]
        super().__init__(*steps)
        _initialise(self)


class MaskPredictor(nn.Module):
    """Maps (K, width, 14, 14) to mask logits (K, classes, 28, 28), one mask per class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv5_mask = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.mask_fcn_logits = nn.Conv2d(width, classes, 1)
        _initialise(self)

    def forward(self, maps: Tensor) -> Tensor:
        """Mask logits."""
        return cast(Tensor, self.mask_fcn_logits(functional.relu(self.conv5_mask(maps)))).float()


class RegionHeads(nn.Module):
    """The second stage of He et al.: Mask R-CNN, arXiv:1703.06870 (2017)."""

    def __init__(self, width: int, hidden: int, classes: int, rules: RegionRules) -> None:
        super().__init__()
        self.rules = rules
        self.box_head = BoxHead(width, hidden)
        self.box_predictor = BoxPredictor(hidden, classes)
        self.mask_head = MaskHead(width)
        self.mask_predictor = MaskPredictor(width, classes)

    def losses(
        self, levels: Sequence[Tensor], proposals: Sequence[Tensor], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """`loss_classifier`, `loss_box_reg` and `loss_mask` of the proposals of each image (n_i, 4)."""
        chosen = [self._choose(some, target) for some, target in zip(proposals, targets, strict=True)]
        boxes = [region.boxes for region in chosen]
        labels = torch.cat([region.labels for region in chosen])
        logits, offsets = self._read(levels, boxes)
        losses = {"loss_classifier": functional.cross_entropy(logits, labels)}
        of_objects = torch.nonzero(labels > 0)[:, 0]
        moved = functional.smooth_l1_loss(
            offsets[of_objects, labels[of_objects]],
            torch.cat([region.offsets for region in chosen])[of_objects],
            beta=SMOOTH_BETA,
            reduction="sum",
        )
        losses["loss_box_reg"] = moved / max(len(labels), 1)
        losses["loss_mask"] = self._mask_loss(levels, chosen, targets)
        return losses

    def detect(
        self, levels: Sequence[Tensor], proposals: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[dict[str, Tensor]]:
        """For each image boxes (n, 4), labels (n,), scores (n,), best first, masks (n, 1, 28, 28) of 0 to 1.

        Boxes and `sizes` (height, width) are in px of the images as the net sees them.
        """
        logits, offsets = self._read(levels, proposals)
        counts = [len(some) for some in proposals]
        found = [
            self._detections(score, moves, some, size)
            for score, moves, some, size in zip(
                torch.split(logits.softmax(dim=1), counts),
                torch.split(offsets, counts),
                proposals,
                sizes,
                strict=True,
            )
        ]
        masks = self._masks(levels, [detection["boxes"] for detection in found])
        labels = torch.cat([detection["labels"] for detection in found])
        masks = masks[torch.arange(len(labels), device=labels.device), labels][:, None].sigmoid()
        split = torch.split(masks, [len(detection["labels"]) for detection in found])
        return [detection | {"masks": mask} for detection, mask in zip(found, split, strict=True)]

    def _read(self, levels: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits, offsets = self.box_predictor(self.box_head(self._pool(levels, boxes, _BOX_BINS)))
        return logits, offsets

    def _masks(self, levels: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        return cast(Tensor, self.mask_predictor(self.mask_head(self._pool(levels, boxes, _MASK_BINS))))

    def _pool(self, levels: Sequence[Tensor], boxes: Sequence[Tensor], bins: int) -> Tensor:
        # The coarsest level is for proposals only.
        return pool_levels(
            levels[: len(STRIDES)], boxes, bins, strides=STRIDES, canonical_size=self.rules.canonical_size
        )

    def _choose(self, proposals: Tensor, target: Target) -> "_Chosen":
        truth = target["boxes"].float()
        # The true boxes themselves are proposed too: early on there is nothing else to learn from.
        proposals = torch.cat([proposals, truth])
        limit = self.rules.foreground
        matched = match_boxes(truth, proposals, foreground=limit, background=limit)
        positive, negative = sample(matched, self.rules.sampled, self.rules.share)
        boxes = proposals[torch.cat([positive, negative])]
        labels = torch.cat([target["labels"][matched[positive]], torch.zeros_like(negative)])
        offsets = torch.zeros_like(boxes)
        wanted = encode_boxes(truth[matched[positive]], proposals[positive], _WEIGHTS)
        offsets[: len(positive)] = wanted
        return _Chosen(boxes, labels, offsets, matched[positive])

    def _mask_loss(
        self, levels: Sequence[Tensor], chosen: Sequence["_Chosen"], targets: Sequence[Target]
    ) -> Tensor:
        boxes = [region.boxes[: len(region.matched)] for region in chosen]
        labels = torch.cat([region.labels[: len(region.matched)] for region in chosen])
        logits = self._masks(levels, boxes)
        if not len(labels):
            return logits.sum() * 0
        wanted = torch.cat(
            [
                roi_align(
                    target["masks"][:, None].float(), some, region.matched, logits.shape[-1], samples=None
                )[:, 0]
                for target, some, region in zip(targets, boxes, chosen, strict=True)
            ]
        )
        said = logits[torch.arange(len(labels), device=labels.device), labels]
        return functional.binary_cross_entropy_with_logits(said, wanted)

    def _detections(
        self, scores: Tensor, offsets: Tensor, proposals: Tensor, size: Size
    ) -> dict[str, Tensor]:
        boxes = clip_boxes(decode_boxes(offsets, proposals[:, None], _WEIGHTS), size)[:, 1:]
        labels = torch.arange(1, scores.shape[1], device=scores.device).expand(len(scores), -1)
        boxes, scores, labels = boxes.reshape(-1, 4), scores[:, 1:].flatten(), labels.flatten()
        usable = (scores > self.rules.least_score) & are_wider_than(boxes, _LEAST_SIDE)
        boxes, scores, labels = boxes[usable], scores[usable], labels[usable]
        kept = grouped_nms(boxes, scores, labels, self.rules.overlap)[: self.rules.most]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The regions of one image to learn from; the first len(matched) stand for those true boxes."""

    boxes: Tensor
    labels: Tensor
    offsets: Tensor
    matched: Tensor


def _initialise(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
