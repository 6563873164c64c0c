"""Outlines in pixels as rings: simple, without holes, to half a pixel."""

from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points


def polygons(shape: BaseGeometry) -> list[Polygon]:
    """The polygons of a shape, without what is empty or has no area."""
    if isinstance(shape, Polygon):
        return [] if shape.is_empty else [shape]
    return [part for part in getattr(shape, "geoms", ()) if isinstance(part, Polygon) and not part.is_empty]


def without_holes(part: Polygon) -> list[Polygon]:
    """Opens each hole by a narrow slit to the nearest outside, for a ring tells only an outside."""
    if not part.interiors:
        return [part]
    slit = LineString(nearest_points(part.interiors[0], part.exterior)).buffer(0.75, cap_style="square")
    return [piece for rest in polygons(part.difference(slit)) for piece in without_holes(rest)]


def rounded(piece: Polygon, least_area: float) -> list[list[list[float]]]:
    """A piece without holes as rings of [x, y] to half a pixel; those of less area are left out."""
    points = [(round(x * 2) / 2, round(y * 2) / 2) for x, y in piece.exterior.coords]
    snapped = Polygon(points)
    # Rounding can make two edges touch; buffering by nothing takes such a ring apart into simple ones.
    parts = [snapped] if snapped.is_valid else polygons(snapped.buffer(0))
    return [
        [[float(x), float(y)] for x, y in part.exterior.coords[:-1]]
        for part in parts
        if part.area >= least_area and all((2 * x).is_integer() for p in part.exterior.coords for x in p)
    ]
