"""The region proposal net: where there may be something, of whatever class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowd.ml.nets.maskrcnn.anchors import cell_anchors, grid_anchors
from crowd.ml.nets.maskrcnn.boxes import are_wider_than, clip_boxes, decode_boxes, encode_boxes, grouped_nms
from crowd.ml.nets.maskrcnn.sampling import match_boxes, sample

_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
_LEAST_SIDE = 1e-3
# Where the smooth L1 loss turns from a parabola into a line.
SMOOTH_BETA = 1 / 9

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """Numbers of Faster R-CNN; pairs are (training, eval). `kept` counts before, `left` after suppression."""

    foreground: float = 0.7
    background: float = 0.3
    sampled: int = 256
    share: float = 0.5
    kept: tuple[int, int] = (2000, 1000)
    left: tuple[int, int] = (2000, 1000)
    overlap: float = 0.7


class ProposalHead(nn.Module):
    """A 3x3 convolution shared by all levels, then objectness and offsets of the anchors of each cell."""

    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()))
        self.cls_logits = nn.Conv2d(width, anchors, 1)
        self.bbox_pred = nn.Conv2d(width, anchors * 4, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """A level (N, width, H, W) to objectness logits (N, H W a) and offsets (N, H W a, 4)."""
        hidden = self.conv(maps)
        objectness = self.cls_logits(hidden).permute(0, 2, 3, 1).flatten(1)
        offsets = self.bbox_pred(hidden).permute(0, 2, 3, 1).reshape(len(maps), -1, 4)
        return objectness.float(), offsets.float()


class ProposalNet(nn.Module):
    """Ren, He, Girshick, Sun: Faster R-CNN …, arXiv:1506.01497 (2015). One anchor size per pyramid level."""

    def __init__(
        self, width: int, sizes: Sequence[float], ratios: Sequence[float], rules: ProposalRules
    ) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.ratios = tuple(ratios)
        self.rules = rules
        self.head = ProposalHead(width, len(self.ratios))

    def forward(
        self,
        levels: Sequence[Tensor],
        padded: Size,
        sizes: Sequence[Size],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Levels of a batch of (height, width) `padded` whose images measure `sizes` in px.

        To the proposals of each image (n_i, 4), best first, and in training to `loss_objectness` and
        `loss_rpn_box_reg`.
        """
        objectness, offsets = zip(*(self.head(maps) for maps in levels), strict=True)
        anchors = self._anchors(levels, padded)
        all_offsets, all_anchors = torch.cat(offsets, dim=1), torch.cat(anchors)
        decoded = decode_boxes(all_offsets.detach(), all_anchors, _WEIGHTS)
        proposals = self._propose(decoded, [logits.detach() for logits in objectness], sizes)
        if targets is None:
            return proposals, {}
        return proposals, self._losses(torch.cat(objectness, dim=1), all_offsets, all_anchors, targets)

    def _anchors(self, levels: Sequence[Tensor], padded: Size) -> list[Tensor]:
        anchors = []
        for size, maps in zip(self.sizes, levels, strict=True):
            cells = cast(Size, tuple(maps.shape[2:]))
            stride = (padded[0] // cells[0], padded[1] // cells[1])
            anchors.append(grid_anchors(cell_anchors(size, self.ratios).to(maps.device), cells, stride))
        return anchors

    def _propose(self, boxes: Tensor, objectness: Sequence[Tensor], sizes: Sequence[Size]) -> list[Tensor]:
        mode = 0 if self.training else 1
        best, levels, first = [], [], 0
        for number, logits in enumerate(objectness):
            count = min(self.rules.kept[mode], logits.shape[1])
            best.append(logits.topk(count, dim=1).indices + first)
            levels.append(torch.full((count,), number, device=boxes.device))
            first += logits.shape[1]
        chosen, level = torch.cat(best, dim=1), torch.cat(levels)
        scores = torch.cat(list(objectness), dim=1).gather(1, chosen).sigmoid()
        boxes = boxes.gather(1, chosen[:, :, None].expand(-1, -1, 4))
        return [
            self._suppress(clip_boxes(some, size), score, level, self.rules.left[mode])
            for some, score, size in zip(boxes, scores, sizes, strict=True)
        ]

    def _suppress(self, boxes: Tensor, scores: Tensor, level: Tensor, left: int) -> Tensor:
        usable = are_wider_than(boxes, _LEAST_SIDE)
        boxes, scores, level = boxes[usable], scores[usable], level[usable]
        return boxes[grouped_nms(boxes, scores, level, self.rules.overlap)[:left]]

    def _losses(
        self,
        objectness: Tensor,
        offsets: Tensor,
        anchors: Tensor,
        targets: Sequence[Mapping[str, Tensor]],
    ) -> dict[str, Tensor]:
        chosen_logits, wanted_logits, chosen_offsets, wanted_offsets = [], [], [], []
        for logits, moves, target in zip(objectness, offsets, targets, strict=True):
            truth = target["boxes"].float()
            matched = match_boxes(
                truth,
                anchors,
                foreground=self.rules.foreground,
                background=self.rules.background,
                every_truth=True,
            )
            positive, negative = sample(matched, self.rules.sampled, self.rules.share)
            chosen_logits += [logits[positive], logits[negative]]
            wanted_logits += [torch.ones_like(logits[positive]), torch.zeros_like(logits[negative])]
            chosen_offsets.append(moves[positive])
            wanted_offsets.append(encode_boxes(truth[matched[positive]], anchors[positive], _WEIGHTS))
        said, wanted = torch.cat(chosen_logits), torch.cat(wanted_logits)
        moved = functional.smooth_l1_loss(
            torch.cat(chosen_offsets), torch.cat(wanted_offsets), beta=SMOOTH_BETA, reduction="sum"
        )
        return {
            "loss_objectness": functional.binary_cross_entropy_with_logits(said, wanted),
            "loss_rpn_box_reg": moved / len(said),
        }
