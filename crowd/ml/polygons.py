"""From masks of probabilities to outlines that a person could have drawn, and back. Knows no net, no task."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw

Ring = list[list[float]]
Mask = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# Outlines are written in tenths of a px.
_GRID = 0.1
# A garment cut off by the image's edge is carried on so far beyond it, and its outline cut there again.
_BEYOND = 2
# Crossings keep off the pixels' centres, where two of them could fall onto one point.
_NEAREST = 0.01
_OVERSAMPLING = 4

# The four edges of a cell of 2 x 2 pixels, and which of them the outline joins, the mask on its left hand,
# for each combination of pixels inside: 1 top left, 2 top right, 4 bottom right, 8 bottom left. Across a
# saddle the two pixels inside stay apart.
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_JOINED: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((_LEFT, _TOP),),
    2: ((_TOP, _RIGHT),),
    3: ((_LEFT, _RIGHT),),
    4: ((_RIGHT, _BOTTOM),),
    5: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)),
    6: ((_TOP, _BOTTOM),),
    7: ((_LEFT, _BOTTOM),),
    8: ((_BOTTOM, _LEFT),),
    9: ((_BOTTOM, _TOP),),
    10: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
    11: ((_BOTTOM, _RIGHT),),
    12: ((_RIGHT, _LEFT),),
    13: ((_RIGHT, _TOP),),
    14: ((_TOP, _LEFT),),
}


def trace_rings(
    mask: Mask,
    *,
    threshold: float = 0.5,
    tolerance: float = 1.0,
    least_area: float = 16.0,
    least_share: float = 0.02,
    most_rings: int = 64,
    most_points: int = 2000,
) -> list[Ring]:
    """Outlines [[x, y], …] of a mask (H, W) of 0 to 1, largest first: px from the image's top left corner.

    A pixel (row i, column j) is the square from (j, i) to (j + 1, i + 1). The outline runs where the
    probability, linear between the pixels' centres, passes `threshold`, give or take `tolerance` px; holes
    are filled. Pieces under `least_area` px² or under `least_share` of the largest are dropped. Each ring is
    a valid polygon without its closing point, in tenths of a px. Should one need more than `most_points`,
    the tolerance grows. What is not a number counts as 0.
    Raises ValueError if the mask has not two dimensions.
    """
    values = np.nan_to_num(np.asarray(mask, dtype=np.float64))
    if values.ndim != 2:
        raise ValueError(f"mask: shape {values.shape} is not (H, W)")
    if not values.size:
        return []
    outlines = _outlines(values, threshold, least_area)
    pieces = shapely.union_all([shapely.Polygon(ring) for ring in outlines])
    frame = shapely.box(0, 0, values.shape[1], values.shape[0])
    polygons = _simplified(pieces, tolerance, frame)
    while any(shapely.get_num_coordinates(polygon) > most_points for polygon in polygons):
        tolerance = max(2 * tolerance, _GRID)
        polygons = _simplified(pieces, tolerance, frame)
    kept = sorted(polygons, key=lambda polygon: -float(polygon.area))
    least = max(least_area, least_share * kept[0].area) if kept else 0.0
    return [_ring(polygon) for polygon in kept[:most_rings] if polygon.area >= least]


def fill_rings(rings: Sequence[Sequence[Sequence[float]]], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Rings in px to the mask (height, width) of the pixels of which they cover at least half."""
    height, width = size
    canvas = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    for ring in rings:
        # Pillow counts from the centres of pixels.
        points = [(x * _OVERSAMPLING - 0.5, y * _OVERSAMPLING - 0.5) for x, y in ring]
        ImageDraw.Draw(canvas).polygon(points, fill=1)
    fine = np.asarray(canvas).reshape(height, _OVERSAMPLING, width, _OVERSAMPLING)
    return np.asarray(fine.mean(axis=(1, 3)) >= 0.5)


def _simplified(pieces: Any, tolerance: float, frame: Any) -> list[Any]:
    """Polygons without holes, on the grid and within the frame; each step keeps valid what is valid."""
    framed = pieces.simplify(tolerance, preserve_topology=True).intersection(frame)
    plain = shapely.set_precision(framed, _GRID)
    parts = shapely.get_parts(plain)
    return [
        shapely.Polygon(part.exterior) for part in parts if part.geom_type == "Polygon" and not part.is_empty
    ]


def _ring(polygon: Any) -> Ring:
    return [[round(x, 1), round(y, 1)] for x, y in polygon.exterior.coords[:-1]]


def _outlines(values: Floats, threshold: float, least_area: float) -> Iterator[Floats]:
    """Outer outlines (n, 2) of enough area, by marching squares: Lorensen, Cline: Marching Cubes, 1987."""
    padded = np.pad(np.pad(values, _BEYOND, mode="edge"), 1)
    follows = _follow(padded > threshold)
    while follows:
        first, edge = follows.popitem()
        loop = [first]
        while edge != first:
            loop.append(edge)
            edge = follows.pop(edge)
        ring = _points(np.array(loop), padded, threshold)
        if _area(ring) >= least_area:
            yield ring


def _follow(inside: npt.NDArray[np.bool_]) -> dict[int, int]:
    """For each edge that an outline crosses, the edge it crosses next.

    Edge number n is that from pixel n to its right neighbour, and n + inside.size to the one below.
    """
    columns = inside.shape[1]
    bits = inside.astype(np.uint8)
    cells = bits[:-1, :-1] | bits[:-1, 1:] << 1 | bits[1:, 1:] << 2 | bits[1:, :-1] << 3
    rows, places = np.nonzero((cells > 0) & (cells < 15))
    cases, corners = cells[rows, places], rows * columns + places
    follows: dict[int, int] = {}
    for case, joined in _JOINED.items():
        corner = corners[cases == case]
        edges = (corner, inside.size + corner + 1, corner + columns, inside.size + corner)
        for start, end in joined:
            follows.update(zip(edges[start].tolist(), edges[end].tolist(), strict=True))
    return follows


def _points(edges: npt.NDArray[np.int64], padded: Floats, threshold: float) -> Floats:
    """Where these edges pass the threshold, as [x, y] in px of the mask without its padding."""
    columns = padded.shape[1]
    down, pixels = np.divmod(edges, padded.size)
    values, others = padded.flat[pixels], padded.flat[pixels + np.where(down, columns, 1)]
    share = np.clip((threshold - values) / (others - values), _NEAREST, 1 - _NEAREST)
    rows, places = np.divmod(pixels, columns)
    # The centre of the mask's first pixel lies at half a px, and behind the padding.
    shift = 0.5 - (_BEYOND + 1)
    return np.stack([places + shift + share * (1 - down), rows + shift + share * down], axis=1)


def _area(ring: Floats) -> float:
    """The area in px², negative for holes: outer outlines go round counter-clockwise on the screen."""
    x, y = ring.T
    return float(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) / 2
