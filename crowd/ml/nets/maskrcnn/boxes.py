"""Boxes as rows [x0, y0, x1, y1] in pixels from the top left: overlap, coding, suppression. Knows no net."""

import math

import torch
from torch import Tensor

# A decoded box is at most 1000 / 16 times as wide or high as the one it was told relative to.
_MOST_GROWTH = math.log(1000 / 16)
# So many boxes are compared with each other at once: 2048² floats are 16 MiB.
_BLOCK = 2048


def box_area(boxes: Tensor) -> Tensor:
    """Boxes (n, 4) to areas (n,) in px²."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Boxes (n, 4) and (m, 4) to intersection over union (n, m); 0 for boxes without area."""
    corner = torch.maximum(first[:, None, :2], second[None, :, :2])
    opposite = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (opposite - corner).clamp(min=0).prod(dim=2)
    union = box_area(first)[:, None] + box_area(second)[None, :] - common
    return common / union.clamp(min=torch.finfo(union.dtype).tiny)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to an image of (height, width) px."""
    height, width = size
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def are_wider_than(boxes: Tensor, least: float) -> Tensor:
    """Boxes (n, 4) to (n,) bool: whether both sides measure at least `least` px."""
    return ((boxes[:, 2:] - boxes[:, :2]) >= least).all(dim=1)


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Boxes (n, 4) relative to anchors (n, 4), as offsets (n, 4): dx, dy, log dw, log dh, times `weights`.

    Girshick et al.: Rich feature hierarchies …, arXiv:1311.2524, appendix C.
    """
    centre, side = _centres_and_sides(boxes)
    from_centre, from_side = _centres_and_sides(anchors)
    offsets = torch.cat([(centre - from_centre) / from_side, (side / from_side).log()], dim=-1)
    return offsets * offsets.new_tensor(weights)


def decode_boxes(offsets: Tensor, anchors: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Undo `encode_boxes`: offsets (..., 4) and anchors that broadcast to them, to boxes (..., 4)."""
    offsets = offsets / offsets.new_tensor(weights)
    from_centre, from_side = _centres_and_sides(anchors)
    centre = offsets[..., :2] * from_side + from_centre
    half = offsets[..., 2:].clamp(max=_MOST_GROWTH).exp() * from_side / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes that remain, best first: none overlaps a better one by more than `threshold`.

    Boxes (n, 4), scores (n,). Of equal scores the earlier box is the better one.
    """
    order = scores.argsort(descending=True, stable=True)
    ordered = boxes[order]
    kept = order.new_empty(0)
    for block in torch.split(torch.arange(len(order), device=boxes.device), _BLOCK):
        beaten = (box_iou(ordered[kept], ordered[block]) > threshold).any(dim=0)
        left = block[~beaten]
        kept = torch.cat([kept, left[_survivors(ordered[left], threshold)]])
    return order[kept]


def grouped_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """As `nms`, but boxes suppress only those of their own group; groups (n,) int64."""
    kept = [
        members[nms(boxes[members], scores[members], threshold)]
        for members in (torch.nonzero(groups == group)[:, 0] for group in torch.unique(groups))
    ]
    if not kept:
        return torch.empty(0, dtype=torch.int64, device=boxes.device)
    together = torch.cat(kept).sort().values
    return together[scores[together].argsort(descending=True, stable=True)]


def _survivors(boxes: Tensor, threshold: float) -> Tensor:
    # Who stands is decided from the best down. Deciding all at once and again until nothing changes comes to
    # the same: round by round at least one more box is settled for good, and mostly nearly all are.
    beats = (box_iou(boxes, boxes) > threshold).triu(diagonal=1).float()
    stands = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    while True:
        again = (stands.float() @ beats) == 0
        if torch.equal(again, stands):
            return stands
        stands = again


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides
