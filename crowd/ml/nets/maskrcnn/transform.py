"""Images of any size to a batch for the detector, and its answers back to their pixels. Knows no weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from crowd.ml.nets.maskrcnn.rpn import Size
from crowd.ml.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD

_DIVISIBLE_BY = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (N, 3, H, W), padded at the right and below; `sizes` are those before padding."""

    images: Tensor
    sizes: list[Size]

    @property
    def padded(self) -> Size:
        """(H, W) of all."""
        return self.images.shape[2], self.images.shape[3]


def make_batch(images: Sequence[Tensor], least: Sequence[int], most: int) -> Batch:
    """Images (3, H, W) of 0 to 1, normalised and scaled: shorter side to `least[i]` px, none over `most`."""
    mean, std = (images[0].new_tensor(numbers)[:, None, None] for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    scaled = [_scaled((image - mean) / std, short, most) for image, short in zip(images, least, strict=True)]
    height, width = (
        -(-max(image.shape[side] for image in scaled) // _DIVISIBLE_BY) * _DIVISIBLE_BY for side in (1, 2)
    )
    batch = scaled[0].new_zeros(len(scaled), 3, height, width)
    for place, image in zip(batch, scaled, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return Batch(batch, [(image.shape[1], image.shape[2]) for image in scaled])


def scale_target(target: Mapping[str, Tensor], before: Size, after: Size) -> dict[str, Tensor]:
    """Boxes (n, 4) and masks (n, H, W) of an image, moved along with its scaling; labels as they are."""
    masks = target["masks"]
    if before != after:
        masks = functional.interpolate(masks[:, None].float(), size=after)[:, 0].to(torch.uint8)
    return {"boxes": scale_boxes(target["boxes"], before, after), "labels": target["labels"], "masks": masks}


def scale_boxes(boxes: Tensor, before: Size, after: Size) -> Tensor:
    """Boxes (n, 4) on an image of (height, width) `before` to those on the same image of size `after`."""
    down, across = after[0] / before[0], after[1] / before[1]
    return boxes.float() * boxes.new_tensor([across, down, across, down], dtype=torch.float32)


def paste_masks(masks: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """Masks (n, 1, M, M) of 0 to 1 inside boxes (n, 4) in px, to masks (n, 1, height, width) of the image.

    The mask gets a frame of zeros, so that it fades out at the edge of its box.
    """
    if not len(masks):
        return masks.new_zeros(0, 1, *size)
    framed = functional.pad(masks[:, 0], (1, 1, 1, 1))
    cells = framed.shape[-1]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * (cells / (cells - 2))
    first, last = (centre - half).to(torch.int64), (centre + half).to(torch.int64)
    across = _spread(first[:, 0], last[:, 0], size[1], cells)
    down = _spread(first[:, 1], last[:, 1], size[0], cells)
    return (down @ framed @ across.transpose(1, 2))[:, None]


def _spread(first: Tensor, last: Tensor, length: int, cells: int) -> Tensor:
    """Matrices (n, length, cells) that stretch `cells` values over the px from first to last, linearly."""
    pixels = torch.arange(length, device=first.device)
    count = (last - first + 1).clamp(min=1)
    at = (pixels - first[:, None] + 0.5) * (cells / count[:, None]) - 0.5
    inside = (pixels >= first[:, None]) & (pixels < (first + count)[:, None])
    weights = 1 - (at.clamp(0, cells - 1)[:, :, None] - torch.arange(cells, device=first.device)).abs()
    return weights.clamp(min=0) * inside[:, :, None]


def _scaled(image: Tensor, least: int, most: int) -> Tensor:
    sides = image.shape[1:]
    factor = min(least / min(sides), most / max(sides))
    return functional.interpolate(
        image[None], scale_factor=factor, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )[0]
