"""The studio: where the figure stands in it, and how shapes are painted one over the other.

The outline that is painted is the outline that is told: what an upper layer covers is cut from the one below.
Outlines are pixels; shapes and ornaments come in the figure's own lengths.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
from shapely import affinity
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from crowd.simulation.drawing.cloth import Cloth, shaded, toned
from crowd.simulation.drawing.lines import Point
from crowd.simulation.drawing.measures import BACKDROPS
from crowd.simulation.drawing.rings import polygons, rounded, without_holes
from crowd.simulation.wardrobe import RGB

Ornament = Callable[["Brush"], None]

OVERSAMPLING = 2
WIDTHS = (480, 560, 600, 640, 720, 800)
# Lengths in pixels below are those of an image of the least of these widths; in a smaller one they shrink.
MIN_RING_AREA = 120.0
SHADOW = 4.0


@dataclass(frozen=True, slots=True)
class Figure:
    """Where and how the figure stands: pixels per height, middle, crown, spread of arms and legs."""

    unit: float
    middle: float
    crown: float
    arms: tuple[float, float]
    stance: float
    on_stand: bool

    def at(self, point: Point) -> Point:
        """The pixel of a point of the figure."""
        return self.middle + point[0] * self.unit, self.crown + point[1] * self.unit

    def place(self, shape: BaseGeometry) -> BaseGeometry:
        """The shape in pixels."""
        return affinity.affine_transform(shape, [self.unit, 0, 0, self.unit, self.middle, self.crown])


@dataclass(frozen=True, slots=True)
class Brush:
    """Draws on one piece of cloth in the figure's own lengths."""

    draw: ImageDraw.ImageDraw
    figure: Figure
    offset: Point
    cloth: RGB

    def pixel(self, point: Point) -> Point:
        """The pixel of the cloth under a point of the figure."""
        x, y = self.figure.at(point)
        return x * OVERSAMPLING - self.offset[0], y * OVERSAMPLING - self.offset[1]

    def line(self, points: Sequence[Point], color: RGB, width: float = 0.002) -> None:
        """A line through the points."""
        pixels = max(1, round(width * self.figure.unit * OVERSAMPLING))
        self.draw.line([self.pixel(point) for point in points], fill=color, width=pixels, joint="curve")

    def shape(self, points: Sequence[Point], color: RGB) -> None:
        """A filled polygon."""
        self.draw.polygon([self.pixel(point) for point in points], fill=color)

    def dot(self, middle: Point, radius: float, color: RGB) -> None:
        """A filled circle with a darker rim."""
        x, y = self.pixel(middle)
        r = radius * self.figure.unit * OVERSAMPLING
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=color, outline=toned(color, 0.6))


class Scene:
    """A studio being painted, back to front, and the layers painted so far."""

    def __init__(self, rng: random.Random, width: int, height: int, needs_legs: bool) -> None:
        self.rng = rng
        self.width, self.height = width, height
        self.shrunk = min(1.0, width / WIDTHS[0])
        self.figure = _pose(rng, width, height, needs_legs)
        self.layers: list[tuple[str | None, BaseGeometry]] = []
        self.canvas = _backdrop(rng, width * OVERSAMPLING, height * OVERSAMPLING, self.figure)

    def paint(
        self, owner: str | None, shape: BaseGeometry, cloth: Cloth, ornaments: Sequence[Ornament] = ()
    ) -> None:
        """Paints a shape of the figure over all so far; `owner` is its region, if it is a garment's."""
        outline = self.figure.place(shape).buffer(0)
        frame = box(-60, -60, self.width + 60, self.height + 60)
        painted = outline.intersection(frame)
        if painted.is_empty:
            return
        self.layers.append((owner, painted))
        self._paint_pixels(painted, cloth, ornaments)

    def _paint_pixels(self, outline: BaseGeometry, cloth: Cloth, ornaments: Sequence[Ornament]) -> None:
        pad = math.ceil(12 * self.shrunk) * OVERSAMPLING
        left, top, right, bottom = (round(edge * OVERSAMPLING) for edge in outline.bounds)
        left, top, right, bottom = left - pad, top - pad, right + pad, bottom + pad
        size = (right - left, bottom - top)
        mask = Image.new("L", size)
        pencil = ImageDraw.Draw(mask)
        for part in polygons(outline):
            pencil.polygon(_shifted(part.exterior.coords, left, top), fill=255)
            for hole in part.interiors:
                pencil.polygon(_shifted(hole.coords, left, top), fill=0)
        fabric = cloth.woven(size)
        brush = Brush(ImageDraw.Draw(fabric), self.figure, (left, top), cloth.color)
        for ornament in ornaments:
            ornament(brush)
        fabric = shaded(fabric, mask, self.figure.unit * OVERSAMPLING)
        self._cast_shadow(mask, (left, top))
        self.canvas.paste(fabric, (left, top), mask)

    def _cast_shadow(self, mask: Image.Image, corner: tuple[int, int]) -> None:
        blur = ImageFilter.GaussianBlur(SHADOW * self.shrunk * OVERSAMPLING)
        soft = mask.filter(blur).point(lambda value: value * 0.22)
        dark = Image.new("RGB", mask.size, (40, 36, 40))
        self.canvas.paste(dark, (corner[0] + OVERSAMPLING, corner[1] + 2 * OVERSAMPLING), soft)

    def finished(self) -> Image.Image:
        """The image in its final size."""
        return self.canvas.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def visible_rings(self, owner: str) -> list[list[list[float]]]:
        """What is seen of a garment: rings of [x, y] to half a pixel, largest first, inside the image."""
        seen: BaseGeometry = Polygon()
        for layer_owner, outline in self.layers:
            seen = seen.union(outline) if layer_owner == owner else seen.difference(outline)
        seen = seen.buffer(0.6).buffer(-1.2).buffer(0.6)
        seen = seen.intersection(box(0, 0, self.width, self.height)).simplify(0.5)
        whole = [piece for part in polygons(seen) for piece in without_holes(part)]
        least = MIN_RING_AREA * self.shrunk**2
        rings = [ring for piece in whole for ring in rounded(piece, least)]
        rings.sort(key=lambda ring: -Polygon(ring).area)
        return rings


def _pose(rng: random.Random, width: int, height: int, needs_legs: bool) -> Figure:
    framing = rng.choices(("full", "headless", "stand"), (5, 3, 0 if needs_legs else 2))[0]
    crown, unit = (
        (0.045 * height, 0.915 * height) if framing != "headless" else (-0.115 * height, 1.085 * height)
    )
    if framing == "stand":
        crown, unit = -0.03 * height, 1.0 * height
    unit = min(unit, width * 1.62)
    crown = min(crown, height * 0.965 - unit) if framing == "headless" else height * 0.965 - unit
    middle = width / 2 + rng.uniform(-0.02, 0.02) * width
    arms = (rng.uniform(-0.005, 0.035), rng.uniform(-0.005, 0.035))
    return Figure(unit, middle, crown, arms, rng.uniform(0.0, 0.016), framing == "stand")


def _backdrop(rng: random.Random, width: int, height: int, figure: Figure) -> Image.Image:
    tone = rng.choice(BACKDROPS)
    strip = Image.new("RGB", (1, 256))
    for y in range(256):
        share = y / 255
        light = 0.93 + 0.09 * share if share < 0.84 else 0.985 - 0.35 * (share - 0.84)
        strip.putpixel((0, y), toned(tone, light))
    ground = strip.resize((width, height), Image.Resampling.BICUBIC)
    glow = Image.new("L", (64, 96))
    ImageDraw.Draw(glow).ellipse((8, 6, 56, 82), fill=110)
    glow = glow.filter(ImageFilter.GaussianBlur(12)).resize((width, height), Image.Resampling.BICUBIC)
    ground.paste(Image.new("RGB", (width, height), toned(tone, 1.09)), (0, 0), glow)
    shadow = Image.new("L", (width // 4, height // 4))
    middle, floor = (edge * OVERSAMPLING / 4 for edge in figure.at((0, 0.99)))
    reach = figure.unit * OVERSAMPLING / 4
    ImageDraw.Draw(shadow).ellipse(
        (middle - 0.15 * reach, floor - 0.012 * reach, middle + 0.2 * reach, floor + 0.02 * reach), fill=120
    )
    shadow = shadow.filter(ImageFilter.GaussianBlur(reach * 0.016)).resize((width, height))
    ground.paste(Image.new("RGB", (width, height), toned(tone, 0.42)), (0, 0), shadow)
    return ground


def _shifted(points: Any, left: float, top: float) -> list[Point]:
    return [(x * OVERSAMPLING - left, y * OVERSAMPLING - top) for x, y in points]
