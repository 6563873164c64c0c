"""Which boxes a head learns from: matched to the true ones, then sampled. Knows no net."""

import torch
from torch import Tensor

from crowd.ml.nets.maskrcnn.boxes import box_iou

BACKGROUND = -1
UNDECIDED = -2


def match_boxes(
    truth: Tensor, boxes: Tensor, *, foreground: float, background: float, every_truth: bool = False
) -> Tensor:
    """For each box (n, 4) the index (n,) of the true box (m, 4) it stands for, or BACKGROUND or UNDECIDED.

    A box stands for the one it overlaps most if by at least `foreground`; under `background` it is none.
    `every_truth`: the boxes that overlap a true one most stand for something even below that.
    """
    if not len(truth):
        return torch.full((len(boxes),), BACKGROUND, device=boxes.device)
    overlap = box_iou(truth, boxes)
    best, nearest = overlap.max(dim=0)
    matched = nearest.clone()
    matched[best < foreground] = UNDECIDED
    matched[best < background] = BACKGROUND
    if every_truth:
        most = overlap.max(dim=1, keepdim=True).values
        # A true box that nothing overlaps must not turn all boxes into foreground.
        favourite = ((overlap == most) & (most > 0)).any(dim=0)
        matched[favourite] = nearest[favourite]
    return matched


def sample(matched: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of up to `count * share` random matched boxes, and of background ones to fill up `count`.

    Chance comes from torch's global generator.
    """
    positive = torch.nonzero(matched >= 0)[:, 0]
    negative = torch.nonzero(matched == BACKGROUND)[:, 0]
    positive = _some(positive, int(count * share))
    return positive, _some(negative, count - len(positive))


def _some(indices: Tensor, count: int) -> Tensor:
    return indices[torch.randperm(len(indices), device=indices.device)[:count]]
