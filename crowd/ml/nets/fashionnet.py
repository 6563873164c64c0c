"""FashionNet: finds each part's garment, and reads its attributes from there and from the whole image."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.attributes import AttributeHeads, Question, attribute_loss, read_questions
from crowd.ml.nets.backbones import create_backbone
from crowd.ml.nets.features import STRIDES
from crowd.ml.nets.maskrcnn.roi_align import roi_align
from crowd.ml.nets.preprocess import Preprocess

_BINS = 7
# Local features come from the third stage: finer than the last, deeper than the second.
_LOCAL_STAGE = 2


def detection_weight(round_number: int, *, large: float = 1.0, small: float = 0.1, length: int = 1) -> float:
    """The weight of the detection losses in a round (an epoch, say) counted from 0.

    `length` rounds large, then as many small, and so on: first the net learns where garments are, then to
    read them there, in turn. Raises ValueError unless length is at least 1.
    """
    if length < 1:
        raise ValueError(f"length: {length} is less than 1 round")
    return large if (round_number // length) % 2 == 0 else small


class FashionNet(nn.Module):
    """Liu, Luo, Qiu, Wang, Tang: DeepFashion …, CVPR 2016, with boxes in the place of landmarks.

    As the K-Fashion guideline (v1.04, 7.1.3) has it: local features, pooled from where the garments are,
    are concatenated with global ones; RoIAlign pools, as it does not round. An image holds at most one
    garment of each of `parts` kinds (outer, top, bottom, dress).

    Images (N, 3, S, S) float32 normalised to a dict: `present` (N, parts) logits; `boxes` (N, parts, 4)
    [x0, y0, x1, y1] in px of these images; `attributes` {attribute: (N, parts, values) logits}.
    """

    def __init__(
        self,
        questions: Mapping[str, Question | Mapping[str, int | bool]],
        *,
        parts: int = 4,
        backbone: str = "resnet50",
        size: int = 224,
        local_channels: int = 128,
        local_features: int = 512,
    ) -> None:
        super().__init__()
        self.preprocess = Preprocess(size)
        self.questions = read_questions(questions)
        self.parts = parts
        self.backbone = create_backbone(backbone)
        self.locate = nn.Sequential(
            nn.AdaptiveAvgPool2d(_BINS),
            nn.Conv2d(self.backbone.channels, local_channels, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(local_channels * _BINS**2, parts * 5),
        )
        self.local = nn.Sequential(
            nn.Conv2d(self.backbone.stage_channels[_LOCAL_STAGE], local_channels, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(local_channels * _BINS**2, local_features),
            nn.ReLU(),
        )
        self.heads = AttributeHeads(self.questions, self.backbone.channels + local_features)

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> dict[str, Any]:
        """Read the garments in `boxes` (N, parts, 4) px; where these are nan, or none given, those found."""
        stages = self.backbone.forward_stages(images)
        present, found = self._locate(stages[-1], images.shape[2:])
        read_from = found if boxes is None else torch.where(boxes.isnan(), found, boxes.to(found))
        local = self._local_features(stages[_LOCAL_STAGE], read_from)
        whole = stages[-1].mean(dim=(2, 3))[:, None].expand(-1, self.parts, -1)
        attributes = self.heads(torch.cat([whole, local.to(whole.dtype)], dim=2))
        return {"present": present, "boxes": found, "attributes": attributes}

    def losses(
        self, outputs: Mapping[str, Any], targets: Mapping[str, Any], *, weight: float = 1.0
    ) -> dict[str, Tensor]:
        """`loss_present`, `loss_box` and `loss_attributes`, to be summed; the first two times `weight`.

        `targets`: `boxes` (N, parts, 4) px, nan where the part is not on the image; `answers` {attribute:
        (N, parts) or (N, parts, values)} as of `attribute_loss`. `weight` is that of `detection_weight`.
        """
        boxes = targets["boxes"].to(outputs["boxes"])
        there = ~boxes.isnan().any(dim=2)
        side = boxes.new_tensor(self.preprocess.size)
        return {
            "loss_present": weight
            * functional.binary_cross_entropy_with_logits(outputs["present"], there.to(boxes.dtype)),
            "loss_box": weight * _box_loss(outputs["boxes"][there] / side, boxes[there] / side),
            "loss_attributes": attribute_loss(
                {key: value.flatten(0, 1) for key, value in outputs["attributes"].items()},
                {key: value.flatten(0, 1) for key, value in targets["answers"].items()},
                self.questions,
            ),
        }

    def _locate(self, features: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        told = self.locate(features).float().view(-1, self.parts, 5)
        centre, extent = told[..., 1:3].sigmoid(), told[..., 3:5].sigmoid()
        sides = told.new_tensor([size[1], size[0]])
        corners = [(centre - extent / 2) * sides, (centre + extent / 2) * sides]
        return told[..., 0], torch.cat(corners, dim=2)

    def _local_features(self, maps: Tensor, boxes: Tensor) -> Tensor:
        images = torch.arange(len(boxes), device=boxes.device).repeat_interleave(self.parts)
        pooled = roi_align(maps, boxes.flatten(0, 1), images, _BINS, scale=1 / STRIDES[_LOCAL_STAGE])
        return cast(Tensor, self.local(pooled)).reshape(len(boxes), self.parts, -1)


def _box_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 of boxes (n, 4) in shares of the image's side, summed over coordinates, the mean of boxes."""
    loss = functional.smooth_l1_loss(found, wanted, beta=0.1, reduction="sum")
    return loss / max(len(found), 1)
