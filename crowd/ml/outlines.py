"""From a mask of pixels to outlines that people can draw on. PURE; knows numpy and shapely."""

from typing import Any

import numpy as np
import shapely

# Below this (px²), and below this share of the mask, a piece is noise.
LEAST_AREA = 64.0
LEAST_SHARE = 0.02
# How far (px) an outline may pass beside the mask: people would not draw every pixel.
TOLERANCE = 1.5
MOST_RINGS = 8
MOST_POINTS = 400

Ring = list[list[float]]


def rings_of(mask: "np.ndarray[Any, np.dtype[np.bool_]]", *, least_area: float = LEAST_AREA) -> list[Ring]:
    """The outlines of a mask (H, W), the largest piece first, in px from the top left; holes are filled.

    A piece is what hangs together by edges. No ring crosses or touches itself; none for an empty mask.
    """
    shape = shapely.union_all(_runs(mask))
    pieces = [piece for piece in shapely.get_parts(shape) if isinstance(piece, shapely.Polygon)]
    floor = max(least_area, LEAST_SHARE * float(shape.area))
    kept = sorted((piece for piece in pieces if piece.area >= floor), key=lambda piece: -piece.area)
    return [ring for piece in kept[:MOST_RINGS] if (ring := _ring(piece))]


def _runs(mask: "np.ndarray[Any, np.dtype[np.bool_]]") -> Any:
    """Each row's runs of pixels as boxes."""
    framed = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    framed[:, 1:-1] = mask
    steps = np.diff(framed, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return shapely.box(starts, rows, ends, rows + 1)


def _ring(piece: shapely.Polygon) -> Ring:
    """The outer ring of a piece, as coarse as it must be to have few points; empty if nothing is left."""
    filled = shapely.Polygon(piece.exterior)
    tolerance = TOLERANCE
    while True:
        simple = shapely.simplify(filled, tolerance, preserve_topology=True)
        points = shapely.get_coordinates(simple.exterior)[:-1] if isinstance(simple, shapely.Polygon) else []
        if len(points) <= MOST_POINTS:
            break
        tolerance *= 2
    if len(points) < 3 or not shapely.is_valid(simple):
        return []
    return [[round(float(x), 1), round(float(y), 1)] for x, y in points]
