"""The whole of Mask R-CNN, with torchvision's calling convention and state-dict keys."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crowd.ml.nets.features import STRIDES
from crowd.ml.nets.maskrcnn.fpn import PyramidBackbone
from crowd.ml.nets.maskrcnn.heads import RegionHeads, RegionRules
from crowd.ml.nets.maskrcnn.rpn import ProposalNet, ProposalRules, Size
from crowd.ml.nets.maskrcnn.transform import make_batch, paste_masks, scale_boxes, scale_target
from crowd.ml.nets.preprocess import Preprocess
from crowd.ml.nets.resnet import FrozenBatchNorm2d, resnet18, resnet50, resnet101

_BODIES = {"resnet18": resnet18, "resnet50": resnet50, "resnet101": resnet101}

# Weights published before torchvision 0.13 call three layers by older names.
_OLDER_NAMES = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^rpn\.head\.conv\.(weight|bias)$"), r"rpn.head.conv.0.0.\1"),
)
_OLDER_MASK = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")


class MaskRCNN(nn.Module):
    """He, Gkioxari, Dollár, Girshick: Mask R-CNN, arXiv:1703.06870 (2017), on a ResNet with a pyramid.

    Takes images (3, H, W) of any sizes, values 0 to 1, and normalises and scales them by itself: the shorter
    side to `min_size` px (one of several by chance in training, the last in eval), none over `max_size`.
    `classes` counts kinds of objects without the background; labels run from 1 to `classes`.

    `norm`: "batch" learns the backbone's batch normalisation, for training from scratch; "frozen" keeps it
    constant, for published weights and small batches, with `norm_eps` (0 for the weights torchvision calls
    COCO_V1). `frozen_stages` of the backbone get no gradients (2 is usual on published weights).
    `anchor_sizes` are px of the scaled image on strides 4 to 64; a box of `canonical_size` px is read at
    stride 16. For images of 128 px: min_size=128, max_size=128, anchor_sizes=(8, 16, 32, 64, 128),
    canonical_size=64, width=64, hidden=256.
    """

    def __init__(
        self,
        classes: int,
        *,
        backbone: str = "resnet50",
        min_size: int | Sequence[int] = 800,
        max_size: int = 1333,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        norm: str = "batch",
        norm_eps: float = 1e-5,
        frozen_stages: int = 0,
        width: int = 256,
        hidden: int = 1024,
        canonical_size: float = 224.0,
        proposal_rules: Mapping[str, Any] | None = None,
        region_rules: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if backbone not in _BODIES:
            raise ValueError(f"backbone: {backbone!r} is none of {', '.join(_BODIES)}")
        if len(anchor_sizes) != len(STRIDES) + 1:
            raise ValueError(f"anchor_sizes: {len(STRIDES) + 1} are needed, one per level")
        self.preprocess = Preprocess(None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        self.min_sizes = (min_size,) if isinstance(min_size, int) else tuple(min_size)
        self.max_size = max_size
        self.classes = classes
        body = _BODIES[backbone](classes=0, norm=_norm(norm, norm_eps))
        body.freeze_stages(frozen_stages)
        self.backbone = PyramidBackbone(body, width)
        self.rpn = ProposalNet(width, anchor_sizes, anchor_ratios, ProposalRules(**(proposal_rules or {})))
        rules = RegionRules(**{"canonical_size": canonical_size, **(region_rules or {})})
        self.roi_heads = RegionHeads(width, hidden, classes + 1, rules)

    def forward(self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None) -> Any:
        """In training to a dict of scalar losses, in eval to one dict per image.

        `targets[i]`: boxes (n, 4) [x0, y0, x1, y1] in px of the image, labels (n,) int64 from 1, masks
        (n, H, W) of 0 and 1; n may be 0. Losses: loss_classifier, loss_box_reg, loss_mask, loss_objectness,
        loss_rpn_box_reg. Answers, best first: boxes (n, 4) in px of the image, labels (n,), scores (n,) and
        masks (n, 1, H, W), the probabilities of the pixels. Raises ValueError naming the target's field.
        """
        if not self.training:
            return self.detect(images)
        if targets is None or len(targets) != len(images):
            raise ValueError("targets: in training each image needs one")
        for number, (image, target) in enumerate(zip(images, targets, strict=True)):
            _check(image, target, f"targets.{number}", self.classes)
        return self.losses(images, targets)

    def losses(self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The five losses of a batch; arguments as of `forward`."""
        batch = make_batch(images, [self._least_size() for _ in images], self.max_size)
        scaled = [
            scale_target(target, _size(image), size)
            for image, target, size in zip(images, targets, batch.sizes, strict=True)
        ]
        levels = self.backbone(batch.images)
        proposals, losses = self.rpn(levels, batch.padded, batch.sizes, scaled)
        return {**self.roi_heads.losses(levels, proposals, scaled), **losses}

    def detect(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """What is on each image; as `forward` in eval."""
        batch = make_batch(images, [self.min_sizes[-1] for _ in images], self.max_size)
        levels = self.backbone(batch.images)
        proposals, _ = self.rpn(levels, batch.padded, batch.sizes)
        found = self.roi_heads.detect(levels, proposals, batch.sizes)
        return [
            _on_image(detection, size, _size(image))
            for detection, size, image in zip(found, batch.sizes, images, strict=True)
        ]

    def _least_size(self) -> int:
        return self.min_sizes[int(torch.randint(len(self.min_sizes), ()))]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # Called for the root before its children: they find their keys renamed.
        for key in [key for key in state_dict if key.startswith(prefix)]:
            newer = prefix + _newer_name(key.removeprefix(prefix))
            if newer != key:
                state_dict[newer] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _newer_name(key: str) -> str:
    for pattern, replacement in _OLDER_NAMES:
        key = pattern.sub(replacement, key)
    mask = _OLDER_MASK.match(key)
    return f"roi_heads.mask_head.{int(mask[1]) - 1}.0.{mask[2]}" if mask else key


def _norm(norm: str, eps: float) -> Any:
    kinds = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm2d}
    if norm not in kinds:
        raise ValueError(f"norm: {norm!r} is none of {', '.join(kinds)}")
    return lambda channels: kinds[norm](channels, eps=eps)


def _size(image: Tensor) -> Size:
    return image.shape[1], image.shape[2]


def _on_image(detection: Mapping[str, Tensor], seen: Size, size: Size) -> dict[str, Tensor]:
    boxes = scale_boxes(detection["boxes"], seen, size)
    return {**detection, "boxes": boxes, "masks": paste_masks(detection["masks"], boxes, size)}


def _check(image: Tensor, target: Mapping[str, Tensor], path: str, classes: int) -> None:
    for field in ("boxes", "labels", "masks"):
        if field not in target:
            raise ValueError(f"{path}.{field}: is missing")
    boxes, labels, masks = target["boxes"], target["labels"], target["masks"]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{path}.boxes: shape {tuple(boxes.shape)} is not (n, 4)")
    if not bool((boxes[:, 2:] > boxes[:, :2]).all()):
        raise ValueError(f"{path}.boxes: every box must be wider and higher than 0")
    if labels.shape != boxes.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"{path}.labels: must be {len(boxes)} int64")
    if not bool(((labels >= 1) & (labels <= classes)).all()):
        raise ValueError(f"{path}.labels: must lie between 1 and {classes}")
    if masks.shape != (len(boxes), *image.shape[1:]):
        raise ValueError(f"{path}.masks: shape {tuple(masks.shape)} is not (n, H, W) of boxes and image")
