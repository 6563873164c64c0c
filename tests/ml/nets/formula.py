"""Weights, images and boxes by formula: the same numbers wherever they are made, so none need be stored."""

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# A prime: no layer's shape falls into step with it.
_PERIOD = 1_000_003


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers to whole numbers that look like chance (the finaliser of splitmix64)."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


_PATTERN = ((_mix(np.arange(1, _PERIOD + 1)) >> np.uint64(40)) / 2.0**23 - 1).astype(np.float32)


def numbers(name: str, *shape: int) -> Tensor:
    """Numbers between -1 and 1 that depend on the name alone."""
    start = zlib.crc32(name.encode()) % _PERIOD
    return torch.from_numpy(np.resize(np.roll(_PATTERN, -start), shape).copy())


def weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values for each entry of a state dict, of sizes that keep a deep net's signal within bounds."""
    return {key: _weight(key, tuple(value.shape)) for key, value in state.items()}


def _weight(key: str, shape: tuple[int, ...]) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    values = numbers(key, *shape)
    if key.endswith("running_var"):
        return 1 + values / 2
    if key.endswith(("bias", "running_mean")):
        return values / 10
    if len(shape) == 1:
        # Branches of a residual net that were as strong as its trunk would double the signal at each block.
        return (1 + values / 5) * (1.0 if "bn1" in key else 0.5)
    fan_in = math.prod(shape[1:])
    return values * (math.sqrt(6 / fan_in) * _strength(key))


def _strength(key: str) -> float:
    # Offsets of boxes go through an exponential; scores through a sigmoid or softmax.
    for part, strength in (("bbox_pred", 0.05), ("cls_", 0.06), ("mask_fcn_logits", 0.3)):
        if part in key:
            return strength
    return 1.0


def images(name: str, *shape: int) -> Tensor:
    """Values between 0 and 1."""
    return (numbers(name, *shape) + 1) / 2


def boxes(name: str, count: int, size: float) -> Tensor:
    """Boxes (count, 4) at least a px wide, mostly inside a square of `size` px."""
    start, extent = numbers(f"{name}.start", count, 2), numbers(f"{name}.extent", count, 2)
    corner = (start + 1) / 2 * size * 0.7
    return torch.cat([corner, corner + 1 + (extent + 1) / 2 * size * 0.4], dim=1)


def targets(name: str, size: tuple[int, int], labels: list[int]) -> dict[str, Tensor]:
    """A target of Mask R-CNN on an image of (height, width): boxes with an ellipse in each as mask."""
    found = boxes(name, len(labels), min(size)).round()
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    middle, half = (found[:, :2] + found[:, 2:]) / 2, (found[:, 2:] - found[:, :2]) / 2
    across = (x + 0.5 - middle[:, 0, None, None]) / half[:, 0, None, None]
    down = (y + 0.5 - middle[:, 1, None, None]) / half[:, 1, None, None]
    masks = (across**2 + down**2 <= 1).to(torch.uint8)
    return {"boxes": found, "labels": torch.tensor(labels, dtype=torch.int64), "masks": masks}
