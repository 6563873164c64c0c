"""Smooth lines and the shapes between them, in whatever lengths they are given."""

import math
from collections.abc import Sequence

from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

Point = tuple[float, float]


def curve(points: Sequence[Point], steps: int = 7) -> list[Point]:
    """A smooth line through the points (Catmull-Rom)."""
    ends = [points[0], *points, points[-1]]
    out: list[Point] = []
    for p0, p1, p2, p3 in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for step in range(steps):
            t = step / steps
            out.append((_spline(p0[0], p1[0], p2[0], p3[0], t), _spline(p0[1], p1[1], p2[1], p3[1], t)))
    return [*out, points[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def both_sides(right: Sequence[Point]) -> BaseGeometry:
    """A symmetric shape from its right half, given from the middle of the top to the middle of the bottom."""
    return Polygon([*right, *((-x, y) for x, y in reversed(right))]).buffer(0)


def ribbon(spine: Sequence[Point], widths: Sequence[float]) -> BaseGeometry:
    """A limb or sleeve: a smooth line with a half width at each of its points."""
    line = curve(spine)
    wide = [y for _, y in curve([(float(index), width) for index, width in enumerate(widths)])]
    left: list[Point] = []
    right: list[Point] = []
    for index, (x, y) in enumerate(line):
        before, after = line[max(0, index - 1)], line[min(len(line) - 1, index + 1)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        length = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / length * wide[index], dx / length * wide[index]
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    joint = oval(*spine[0], widths[0], widths[0])
    return unary_union([Polygon([*left, *reversed(right)]).buffer(0), joint])


def oval(x: float, y: float, across: float, down: float) -> BaseGeometry:
    """An ellipse around x, y, by its two half axes."""
    return Polygon(
        [(x + across * math.cos(a * math.pi / 24), y + down * math.sin(a * math.pi / 24)) for a in range(48)]
    )


def between(a: Point, b: Point, share: float) -> Point:
    """The point that far from `a` (0) to `b` (1)."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
