"""RoIAlign: maps of one size from boxes of any, by bilinear interpolation, on torch's own operators.

He, Gkioxari, Dollár, Girshick: Mask R-CNN, arXiv:1703.06870 (2017), section 3. Pixels are not shifted by a
half (`aligned=False`), as in the published Mask R-CNN weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class _Taps:
    """Which rows (or columns) each bin reads, and with what weight: all (boxes, bins, 2 * samples)."""

    indices: Tensor
    weights: Tensor


def roi_align(
    maps: Tensor, boxes: Tensor, images: Tensor, bins: int, *, scale: float = 1.0, samples: int | None = 2
) -> Tensor:
    """Maps (N, C, H, W), boxes (K, 4) in px of the image and which of the N each is on (K,) int64.

    To (K, C, bins, bins) float32: each bin is the mean of samples² points of the map, which is `scale` times
    as large as the image. Points more than a px outside count 0. `samples` None takes as many as the bin
    covers px, rounded up, as wanted for masks; it needs memory for K * bins * (H + W) numbers. Gradients go
    to the maps, not to the boxes.
    """
    x0, y0, x1, y1 = (boxes.detach().float() * scale).unbind(dim=1)
    height, width = maps.shape[2:]
    down = _taps(y0, (y1 - y0).clamp(min=1), bins, samples, height)
    across = _taps(x0, (x1 - x0).clamp(min=1), bins, samples, width)
    # In full precision also amid lower ones: a mask's edge is what the weights here say of it.
    with torch.autocast(maps.device.type, enabled=False):
        if samples is None:
            return _by_matrices(maps.float(), images, down, across)
        return _by_bags(maps.float(), images, down, across)


def pool_levels(
    levels: Sequence[Tensor],
    boxes: Sequence[Tensor],
    bins: int,
    *,
    strides: Sequence[int],
    canonical_size: float = 224.0,
) -> Tensor:
    """The boxes of each image (n_i, 4), pooled from the pyramid level that suits their size.

    Levels (N, C, H / strides[i], W / strides[i]) to (sum of n_i, C, bins, bins). A box of canonical_size² px²
    reads stride 16, one of half the side stride 8 and so on: Lin et al., arXiv:1612.03144, eq. 1.
    """
    together = torch.cat(list(boxes))
    images = torch.cat([torch.full((len(some),), number) for number, some in enumerate(boxes)])
    images = images.to(together.device)
    level = _level_of(together, strides, canonical_size)
    pooled = together.new_zeros((len(together), levels[0].shape[1], bins, bins), dtype=torch.float32)
    for number, (maps, stride) in enumerate(zip(levels, strides, strict=True)):
        chosen = torch.nonzero(level == number)[:, 0]
        part = roi_align(maps, together[chosen], images[chosen], bins, scale=1 / stride)
        pooled = pooled.index_put((chosen,), part)
    return pooled


def _level_of(boxes: Tensor, strides: Sequence[int], canonical_size: float) -> Tensor:
    size = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    # The summand keeps rounding from tearing apart what lies exactly between two levels.
    level = torch.floor(4 + torch.log2(size / canonical_size) + 1e-6)
    lowest = strides[0].bit_length() - 1
    return (level - lowest).clamp(0, len(strides) - 1).to(torch.int64)


def _taps(start: Tensor, extent: Tensor, bins: int, samples: int | None, length: int) -> _Taps:
    """The taps of boxes from `start` (K,) over `extent` (K,) px on an axis of `length` px."""
    step = extent / bins
    counts = torch.ceil(step) if samples is None else torch.full_like(step, samples)
    most = int(counts.max()) if len(counts) else 1
    number = torch.arange(most, device=start.device)
    within = (number + 0.5) / counts[:, None]
    cells = torch.arange(bins, device=start.device)
    at = start[:, None, None] + (cells[:, None] + within[:, None, :]) * step[:, None, None]
    counted = (at >= -1) & (at <= length) & (number < counts[:, None])[:, None, :]
    weight = counted / counts[:, None, None]
    at = at.clamp(0, length - 1)
    low = at.floor().to(torch.int64).clamp(max=max(length - 2, 0))
    high = (low + 1).clamp(max=length - 1)
    share = at - low
    return _Taps(torch.cat([low, high], dim=2), torch.cat([(1 - share) * weight, share * weight], dim=2))


def _by_bags(maps: Tensor, images: Tensor, down: _Taps, across: _Taps) -> Tensor:
    # A bin is a weighted sum of cells. As a bag of embeddings it is summed without being laid out, which
    # takes a sixth of the time that grid_sample takes on a CPU.
    count, channels, height, width = maps.shape
    bins = down.indices.shape[1]
    rows = (images[:, None, None] * height + down.indices)[:, :, None, :, None]
    cells = rows * width + across.indices[:, None, :, None, :]
    weights = down.weights[:, :, None, :, None] * across.weights[:, None, :, None, :]
    taps = down.indices.shape[2] * across.indices.shape[2]
    pooled = functional.embedding_bag(
        cells.reshape(-1, taps),
        maps.permute(0, 2, 3, 1).reshape(count * height * width, channels),
        mode="sum",
        per_sample_weights=weights.reshape(-1, taps),
    )
    return pooled.view(-1, bins, bins, channels).permute(0, 3, 1, 2).contiguous()


def _by_matrices(maps: Tensor, images: Tensor, down: _Taps, across: _Taps) -> Tensor:
    # Interpolation is separable: rows are mixed by one matrix per box, columns by another.
    channels, height, width = maps.shape[1:]
    mix_rows = _matrices(down, height)
    mix_columns = _matrices(across, width)
    bins = mix_rows.shape[1]
    pooled = maps.new_zeros(len(mix_rows), channels, bins, bins)
    for image in torch.unique(images).tolist():
        chosen = torch.nonzero(images == image)[:, 0]
        mixed = torch.einsum("kph,chw->kcpw", mix_rows[chosen], maps[image])
        part = torch.einsum("kcpw,kqw->kcpq", mixed, mix_columns[chosen])
        pooled = pooled.index_put((chosen,), part)
    return pooled


def _matrices(taps: _Taps, length: int) -> Tensor:
    boxes, bins = taps.indices.shape[:2]
    empty = taps.weights.new_zeros(boxes, bins, length)
    return empty.scatter_add(2, taps.indices, taps.weights)
