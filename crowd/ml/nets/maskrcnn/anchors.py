"""Anchors: the boxes that a region proposal net starts from, for each cell of each map. Knows no net."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cell_anchors(size: float, ratios: Sequence[float]) -> Tensor:
    """Boxes (len(ratios), 4) in whole px around 0, of area size² and of each ratio height / width."""
    root = torch.tensor(ratios).sqrt()
    sides = torch.stack([size / root, size * root], dim=1)
    return (torch.cat([-sides, sides], dim=1) / 2).round()


def grid_anchors(cell: Tensor, cells: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """The cell anchors (a, 4) at each of (rows, columns) cells: (rows * columns * a, 4), row by row.

    `stride` is (height, width) of a cell in px; the first cell's anchors lie around (0, 0).
    """
    down = torch.arange(cells[0], device=cell.device) * stride[0]
    across = torch.arange(cells[1], device=cell.device) * stride[1]
    y, x = torch.meshgrid(down, across, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shifts + cell).reshape(-1, 4)
