"""Draws dressed figures in a plain studio, each with the labels an honest worker would give it.

The outline that is painted is the outline that is told: what an upper layer covers is cut from the one below.
Lengths of the figure are shares of its height (y: 0 crown, 1 soles; x: from the middle); outlines are pixels.
"""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFilter
from shapely import affinity
from shapely.geometry import LineString, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points, unary_union

from crowd.simulation.wardrobe import COLORS, RGB, Garment, Outfit, dress_up

Point = tuple[float, float]
Ornament = Callable[["Brush"], None]

OVERSAMPLING = 2
WIDTHS = (480, 560, 600, 640, 720, 800)
# Lengths in pixels below are those of an image of the least of these widths; in a smaller one they shrink.
MIN_RING_AREA = 120.0
SHADOW = 4.0
BACKDROPS: tuple[RGB, ...] = (
    (232, 230, 226), (224, 228, 232), (236, 228, 218), (222, 229, 222), (232, 222, 224), (214, 218, 224),
)  # fmt: skip
MANNEQUINS: tuple[RGB, ...] = (
    (238, 228, 217),
    (222, 203, 184),
    (198, 170, 148),
    (150, 118, 98),
    (226, 224, 222),
)
SHOES: tuple[RGB, ...] = ((48, 46, 50), (236, 234, 230), (128, 86, 60), (196, 172, 142))

# Half width of the body at a height.
BODY = (
    (0.160, 0.030), (0.178, 0.080), (0.190, 0.097), (0.240, 0.080), (0.270, 0.083), (0.320, 0.073),
    (0.375, 0.063), (0.430, 0.080), (0.485, 0.095), (0.540, 0.097),
)  # fmt: skip
NECKLINES: dict[str | None, tuple[Point, ...]] = {
    "round-neck": ((0, 0.206), (0.020, 0.203), (0.037, 0.190), (0.045, 0.168)),
    "u-neck": ((0, 0.240), (0.022, 0.235), (0.040, 0.208), (0.048, 0.169)),
    "v-neck": ((0, 0.246), (0.044, 0.167)),
    "square-neck": ((0, 0.222), (0.050, 0.222), (0.054, 0.171)),
    "boat-neck": ((0, 0.188), (0.040, 0.183), (0.074, 0.174)),
    "turtleneck": ((0, 0.130), (0.021, 0.131), (0.023, 0.152), (0.044, 0.167)),
    None: ((0, 0.196), (0.018, 0.176), (0.030, 0.162)),
}
SMOOTH_NECKS = frozenset(("round-neck", "u-neck", "boat-neck"))
EASE = {"tight": 0.002, "normal": 0.008, "skinny": 0.003, "loose": 0.018, "oversized": 0.026, "wide": 0.012}
TOP_HEM = {"crop": 0.392, "normal": 0.462, "long": 0.535}
OUTER_HEM = {"crop": 0.415, "normal": 0.520, "half": 0.600, "long": 0.730, "maxi": 0.840}
SKIRT_HEM = {"mini": 0.605, "knee-length": 0.705, "midi": 0.800, "ankle": 0.880, "maxi": 0.925}
PANTS_HEM = {"ankle": 0.905, "maxi": 0.952}
# How far down the arm (1: the elbow, 2: the wrist).
SLEEVES = {"cap-sleeve": 0.3, "short-sleeve": 0.62, "3/4th-sleeve": 1.4, "long-sleeve": 2.0}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn image and its `truth`: results for the three labelling stages in the form of the API."""

    image: Image.Image
    truth: dict[str, dict[str, Any]]


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


def draw(seed: int) -> Drawn:
    """Draws one image, 480 to 800 pixels wide and upright; the same seed gives the same image and truth."""
    rng = random.Random(seed)
    return draw_outfit(rng, dress_up(rng))


def draw_outfit(rng: random.Random, outfit: Outfit, width: int | None = None) -> Drawn:
    """Draws a picture of the outfit: its pose and studio are thrown, and its width too if none is given."""
    scene = Scene(rng, *_size(rng, width), _has_trousers(outfit))
    _draw_body(scene)
    regions: dict[str, dict[str, object]] = {}
    for number, garment in enumerate(_wearing_order(rng, outfit), 1):
        owner = f"r{number}"
        tucked = number == 1 and garment.part == "top"
        _draw_garment(scene, owner, garment, tucked)
        regions[owner] = {"part": garment.part, "labels": garment.labels()}
    image = scene.finished()
    rings = {owner: scene.visible_rings(owner) for owner in regions}
    segmentation = [
        {"id": owner, "part": region["part"], "rings": rings[owner]}
        for owner, region in regions.items()
        if rings[owner]
    ]
    labels = {owner: region["labels"] for owner, region in regions.items() if rings[owner]}
    return Drawn(
        image,
        {
            "segmentation": {"regions": segmentation},
            "attributes": {"regions": labels},
            "styles": {"styles": outfit.styles, "unsure": False},
        },
    )


def _size(rng: random.Random, width: int | None) -> tuple[int, int]:
    width = width or rng.choice(WIDTHS)
    return width, round(width * rng.choice((4 / 3, 1.4, 1.5)))


def _has_trousers(outfit: Outfit) -> bool:
    return any(garment.category in ("jeans", "pants", "jumpsuits") for garment in outfit.garments)


def _wearing_order(rng: random.Random, outfit: Outfit) -> list[Garment]:
    """From the inside out; now and then a top is tucked in, and the bottom lies over it."""
    garments = outfit.garments
    if garments[0].part == "bottom" and garments[1].length != "crop" and rng.random() < 0.4:
        return [garments[1], garments[0], *garments[2:]]
    return garments


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
        self, owner: str | None, shape: BaseGeometry, cloth: "Cloth", ornaments: Sequence[Ornament] = ()
    ) -> None:
        """Paints a shape of the figure over all so far; `owner` is its region, if it is a garment's."""
        outline = self.figure.place(shape).buffer(0)
        frame = box(-60, -60, self.width + 60, self.height + 60)
        painted = outline.intersection(frame)
        if painted.is_empty:
            return
        self.layers.append((owner, painted))
        self._paint_pixels(painted, cloth, ornaments)

    def _paint_pixels(self, outline: BaseGeometry, cloth: "Cloth", ornaments: Sequence[Ornament]) -> None:
        pad = math.ceil(12 * self.shrunk) * OVERSAMPLING
        left, top, right, bottom = (round(edge * OVERSAMPLING) for edge in outline.bounds)
        left, top, right, bottom = left - pad, top - pad, right + pad, bottom + pad
        size = (right - left, bottom - top)
        mask = Image.new("L", size)
        pencil = ImageDraw.Draw(mask)
        for part in _polygons(outline):
            pencil.polygon(_shifted(part.exterior.coords, left, top), fill=255)
            for hole in part.interiors:
                pencil.polygon(_shifted(hole.coords, left, top), fill=0)
        fabric = cloth.woven(size)
        brush = Brush(ImageDraw.Draw(fabric), self.figure, (left, top), cloth.color)
        for ornament in ornaments:
            ornament(brush)
        fabric = _shaded(fabric, mask, self.figure.unit * OVERSAMPLING)
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
        whole = [piece for part in _polygons(seen) for piece in _without_holes(part)]
        least = MIN_RING_AREA * self.shrunk**2
        rings = [ring for piece in whole for ring in _rounded(piece, least)]
        rings.sort(key=lambda ring: -Polygon(ring).area)
        return rings


@dataclass(frozen=True, slots=True)
class Cloth:
    """A material to paint with: ground colour, print with its colour, and the seed of its irregularities."""

    color: RGB
    print: str = "solid"
    second: RGB = (255, 255, 255)
    material: str = ""
    scale: float = 20.0
    seed: int = 0

    def woven(self, size: tuple[int, int]) -> Image.Image:
        """A rectangle of the cloth in pixels of the canvas."""
        fabric = Image.new("RGB", size, self.color)
        PRINTS[self.print](fabric, self)
        if self.material == "knit":
            _ribs(fabric, self.scale * 0.16)
        if self.material in ("denim", "wool/cashmere", "linen"):
            _grain(fabric, self.seed)
        return fabric


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


def toned(color: RGB, factor: float) -> RGB:
    """The colour made lighter (above 1) or darker."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in color)
    return red, green, blue


def _shaded(fabric: Image.Image, mask: Image.Image, unit: float) -> Image.Image:
    """Gives a flat piece of cloth its roundness: light from the upper left, darker towards the edges."""
    near = mask.filter(ImageFilter.GaussianBlur(unit * 0.007))
    far = ImageChops.offset(mask.filter(ImageFilter.GaussianBlur(unit * 0.024)), -round(unit * 0.012), 0)
    lit = ImageChops.offset(mask.filter(ImageFilter.GaussianBlur(unit * 0.020)), round(unit * 0.022), 0)
    shade = ImageChops.lighter(
        near.point(lambda value: (255 - value) * 0.50), far.point(lambda value: (255 - value) * 0.62)
    )
    dark = fabric.point(lambda value: value * 0.52)
    bright = fabric.point(lambda value: value * 0.80 + 51)
    fabric = Image.composite(dark, fabric, shade)
    return Image.composite(bright, fabric, lit.point(lambda value: (255 - value) * 0.28))


def _solid(fabric: Image.Image, cloth: Cloth) -> None:
    """Nothing to add to the ground colour."""


def _stripes(fabric: Image.Image, cloth: Cloth) -> None:
    pencil = ImageDraw.Draw(fabric)
    step = cloth.scale * (1.1 if cloth.seed % 2 else 0.7)
    for row in range(int(fabric.height / step) + 1):
        pencil.rectangle((0, row * step, fabric.width, row * step + step * 0.38), fill=cloth.second)


def _dots(fabric: Image.Image, cloth: Cloth) -> None:
    pencil = ImageDraw.Draw(fabric)
    step, radius = cloth.scale * 0.85, cloth.scale * (0.15 + 0.04 * (cloth.seed % 3))
    for row in range(int(fabric.height / step) + 2):
        for column in range(int(fabric.width / step) + 2):
            x, y = (column + 0.5 * (row % 2)) * step, row * step
            pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=cloth.second)


def _checks(fabric: Image.Image, cloth: Cloth) -> None:
    step = cloth.scale * 1.5
    band = Image.new("L", fabric.size)
    across = Image.new("L", fabric.size)
    for pencil, length, vertical in (
        (ImageDraw.Draw(band), fabric.height, False),
        (ImageDraw.Draw(across), fabric.width, True),
    ):
        for number in range(int(length / step) + 1):
            for start, end, weight in ((0.0, 0.42, 105), (0.66, 0.74, 150)):
                low, high = (number + start) * step, (number + end) * step
                edges = (low, 0, high, fabric.height) if vertical else (0, low, fabric.width, high)
                pencil.rectangle(edges, fill=weight)
    fabric.paste(Image.new("RGB", fabric.size, cloth.second), (0, 0), ImageChops.add(band, across))


def _flowers(fabric: Image.Image, cloth: Cloth) -> None:
    pencil = ImageDraw.Draw(fabric)
    rng = random.Random(cloth.seed)
    step = cloth.scale * 1.15
    for row in range(int(fabric.height / step) + 2):
        for column in range(int(fabric.width / step) + 2):
            x: float = (column + 0.5 * (row % 2) + rng.uniform(-0.18, 0.18)) * step
            y = (row + rng.uniform(-0.18, 0.18)) * step
            _flower(pencil, x, y, step * rng.uniform(0.13, 0.2), rng.uniform(0, 6.3), cloth)


def _flower(pencil: ImageDraw.ImageDraw, x: float, y: float, size: float, turn: float, cloth: Cloth) -> None:
    leaf_x, leaf_y = x + math.cos(turn) * size * 2.2, y + math.sin(turn) * size * 2.2
    pencil.line((x, y, leaf_x, leaf_y), fill=(96, 132, 92), width=max(1, round(size * 0.35)))
    for petal in range(5):
        angle = turn + 0.6 + petal * 2 * math.pi / 5
        px, py = x + math.cos(angle) * size, y + math.sin(angle) * size
        r = size * 0.72
        pencil.ellipse((px - r, py - r, px + r, py + r), fill=cloth.second)
    r = size * 0.5
    pencil.ellipse((x - r, y - r, x + r, y + r), fill=(232, 190, 84))


PRINTS: dict[str, Callable[[Image.Image, Cloth], None]] = {
    "solid": _solid,
    "stripe": _stripes,
    "dot": _dots,
    "check": _checks,
    "floral": _flowers,
}


def _ribs(fabric: Image.Image, step: float) -> None:
    lines = Image.new("L", fabric.size)
    pencil = ImageDraw.Draw(lines)
    for column in range(int(fabric.width / step) + 1):
        pencil.line(
            (column * step, 0, column * step, fabric.height), fill=46, width=max(1, round(step * 0.3))
        )
    fabric.paste(fabric.point(lambda value: value * 0.6), (0, 0), lines)


def _grain(fabric: Image.Image, seed: int) -> None:
    tile = Image.frombytes("L", (96, 96), random.Random(seed).randbytes(96 * 96)).resize((144, 144))
    speckle = Image.new("L", fabric.size)
    for y in range(0, fabric.height, 144):
        for x in range(0, fabric.width, 144):
            speckle.paste(tile, (x, y))
    fabric.paste(fabric.point(lambda value: value * 0.7), (0, 0), speckle.point(lambda value: value * 0.17))


def _shifted(points: Any, left: float, top: float) -> list[Point]:
    return [(x * OVERSAMPLING - left, y * OVERSAMPLING - top) for x, y in points]


def _polygons(shape: BaseGeometry) -> list[Polygon]:
    if isinstance(shape, Polygon):
        return [] if shape.is_empty else [shape]
    return [part for part in getattr(shape, "geoms", ()) if isinstance(part, Polygon) and not part.is_empty]


def _without_holes(part: Polygon) -> list[Polygon]:
    """Opens each hole by a narrow slit to the nearest outside, for a ring tells only an outside."""
    if not part.interiors:
        return [part]
    slit = LineString(nearest_points(part.interiors[0], part.exterior)).buffer(0.75, cap_style="square")
    return [piece for rest in _polygons(part.difference(slit)) for piece in _without_holes(rest)]


def _rounded(piece: Polygon, least_area: float) -> list[list[list[float]]]:
    points = [(round(x * 2) / 2, round(y * 2) / 2) for x, y in piece.exterior.coords]
    snapped = Polygon(points)
    # Rounding can make two edges touch; buffering by nothing takes such a ring apart into simple ones.
    parts = [snapped] if snapped.is_valid else _polygons(snapped.buffer(0))
    return [
        [[float(x), float(y)] for x, y in part.exterior.coords[:-1]]
        for part in parts
        if part.area >= least_area and all((2 * x).is_integer() for p in part.exterior.coords for x in p)
    ]


def _curve(points: Sequence[Point], steps: int = 7) -> list[Point]:
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


def _both_sides(right: Sequence[Point]) -> BaseGeometry:
    """A symmetric shape from its right half, given from the middle of the top to the middle of the bottom."""
    return Polygon([*right, *((-x, y) for x, y in reversed(right))]).buffer(0)


def _body_width(y: float) -> float:
    for (y0, w0), (y1, w1) in itertools.pairwise(BODY):
        if y <= y1:
            share = max(0.0, (y - y0) / (y1 - y0))
            return w0 + (w1 - w0) * share
    return BODY[-1][1]


def _ribbon(spine: Sequence[Point], widths: Sequence[float]) -> BaseGeometry:
    """A limb or sleeve: a smooth line with a half width at each of its points."""
    line = _curve(spine)
    wide = [y for _, y in _curve([(float(index), width) for index, width in enumerate(widths)])]
    left: list[Point] = []
    right: list[Point] = []
    for index, (x, y) in enumerate(line):
        before, after = line[max(0, index - 1)], line[min(len(line) - 1, index + 1)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        length = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / length * wide[index], dx / length * wide[index]
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    joint = _oval(*spine[0], widths[0], widths[0])
    return unary_union([Polygon([*left, *reversed(right)]).buffer(0), joint])


def _arm(figure: Figure, side: int, far: float = 2.0) -> list[Point]:
    """The line of an arm down to `far` (1: elbow, 2: wrist)."""
    out = figure.arms[side > 0]
    joints = [(0.080, 0.214), (0.113 + out, 0.360), (0.126 + out * 2.0, 0.512)]
    line = [(side * x, y) for x, y in joints]
    if far >= 2:
        return line
    index = int(far)
    (x0, y0), (x1, y1) = line[index], line[index + 1]
    share = far - index
    return [*line[: index + 1], (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)]


def _oval(x: float, y: float, across: float, down: float) -> BaseGeometry:
    return Polygon(
        [(x + across * math.cos(a * math.pi / 24), y + down * math.sin(a * math.pi / 24)) for a in range(48)]
    )


def _draw_body(scene: Scene) -> None:
    figure, rng = scene.figure, scene.rng
    skin = Cloth(rng.choice(MANNEQUINS))
    trunk = _both_sides([(0, 0.150), *_curve([(0.022, 0.150), *((w, y) for y, w in BODY)]), (0, 0.56)])
    if figure.on_stand:
        _draw_stand(scene)
    else:
        shoe = Cloth(rng.choice(SHOES))
        for side in (-1, 1):
            _draw_leg(scene, side, skin, shoe)
            arm = _arm(figure, side)
            wrist = arm[-1]
            hand = _oval(wrist[0] + side * 0.003, wrist[1] + 0.024, 0.0145, 0.035)
            scene.paint(None, unary_union([_ribbon(arm, (0.029, 0.0205, 0.0135)), hand]), skin)
    neck = _both_sides([(0, 0.100), (0.021, 0.100), (0.020, 0.140), (0.034, 0.168), (0, 0.185)])
    scene.paint(None, unary_union([trunk, neck]), skin)
    if figure.on_stand:
        scene.paint(None, _oval(0, 0.104, 0.023, 0.010), Cloth((120, 92, 70)))
    else:
        scene.paint(None, _head(), skin)


def _head() -> BaseGeometry:
    return _both_sides(
        [
            (0, 0.0),
            *_curve([(0.020, 0.002), (0.040, 0.022), (0.044, 0.055), (0.036, 0.092), (0.016, 0.117)]),
            (0, 0.121),
        ]
    )


def _draw_stand(scene: Scene) -> None:
    metal = Cloth((92, 88, 90))
    scene.paint(None, box(-0.007, 0.5, 0.007, 0.97), metal)
    scene.paint(None, _oval(0, 0.978, 0.105, 0.014), metal)


def _draw_leg(scene: Scene, side: int, skin: Cloth, shoe: Cloth) -> None:
    s = scene.figure.stance
    leg = [(side * 0.050, 0.50), (side * (0.048 + s), 0.715), (side * (0.046 + 1.6 * s), 0.955)]
    scene.paint(None, _ribbon(leg, (0.050, 0.031, 0.016)), skin)
    x = side * (0.048 + 1.6 * s)
    sole = [(-0.021, 0.944), (0.017, 0.944), (0.021, 0.965), (0.030, 0.985), (0.022, 0.998), (-0.018, 0.998)]
    sole += [(-0.025, 0.980)]
    scene.paint(None, Polygon([(x + side * dx, y) for dx, y in sole]).buffer(0.004), shoe)


def _draw_garment(scene: Scene, owner: str, garment: Garment, tucked: bool) -> None:
    second = COLORS[garment.sub_color] if garment.sub_color else (255, 255, 255)
    scale = scene.figure.unit * OVERSAMPLING * 0.022
    cloth = Cloth(
        COLORS[garment.color], garment.print, second, garment.material, scale, scene.rng.randrange(1000)
    )
    if garment.part == "outer":
        _draw_outer(scene, owner, garment, cloth)
    elif garment.part == "bottom":
        shape = _skirt(garment) if garment.category == "skirts" else _trousers(scene.figure, garment)
        scene.paint(owner, shape, cloth, _bottom_ornaments(garment))
    else:
        _draw_top(scene, owner, garment, cloth, tucked)


def _draw_top(scene: Scene, owner: str, garment: Garment, cloth: Cloth, tucked: bool) -> None:
    """A top; a dress or jumpsuit is one whose body goes on below the waist."""
    shape: BaseGeometry
    if garment.part == "dress":
        torso = _torso(garment, 0.40)
        lower = _trousers(scene.figure, garment) if garment.category == "jumpsuits" else _skirt(garment)
        shape = unary_union([torso, lower]).buffer(0.004).buffer(-0.004)
    else:
        shape = _torso(garment, TOP_HEM["crop" if tucked else garment.length])
    _draw_sleeves(scene, owner, garment, cloth)
    scene.paint(owner, shape, cloth, _top_ornaments(garment))
    if garment.collar == "shirt-collar":
        for side in (-1, 1):
            flap = [(0.002, 0.193), (0.024, 0.150), (0.036, 0.156), (0.046, 0.176), (0.026, 0.206)]
            scene.paint(owner, Polygon([(side * x, y) for x, y in flap]), cloth)


def _torso(garment: Garment, hem: float) -> BaseGeometry:
    ease = EASE[garment.fit] if hem > 0.41 else min(EASE[garment.fit], 0.006)
    neck = list(NECKLINES[garment.neckline])
    if garment.neckline in SMOOTH_NECKS:
        neck = _curve(neck)
    if garment.sleeve == "sleeveless":
        shoulder = [(0.080, 0.180), (0.074, 0.205), (0.077, 0.228), (0.084 + ease, 0.246)]
    else:
        shoulder = [(0.096 + ease * 0.6, 0.188), (0.099 + ease, 0.215), (0.087 + ease, 0.248)]
    levels = [0.27, 0.32, 0.375, 0.43, 0.485, 0.54]
    below = [y for y in levels if y < hem - 0.012] + [hem]
    loosening = 0.6 if garment.fit in ("loose", "oversized") else 0.25
    side = [(_body_width(y) + ease + max(0.0, 0.02 - abs(y - 0.375)) * loosening, y) for y in below]
    body = _curve([shoulder[-1], *side])[1:]
    return _both_sides([*neck, *shoulder, *body, (0, hem + 0.007)])


def _draw_sleeves(scene: Scene, owner: str, garment: Garment, cloth: Cloth) -> None:
    far = SLEEVES.get(garment.sleeve or "")
    if far is None:
        return
    ease = EASE[garment.fit] * 0.8 + (0.007 if garment.part == "outer" else 0.0)
    end = 0.030 - 0.007 * far
    for side in (-1, 1):
        spine = _arm(scene.figure, side, far if not scene.figure.on_stand else min(far, 1.95))
        widths = [0.033 + ease * 0.45, 0.028 + ease, end + ease][: len(spine)]
        if "puff" in garment.detail:
            middle = _between(spine[-2], spine[-1], 0.62)
            spine = [*spine[:-1], middle, spine[-1]]
            widths = [0.034 + ease, *[0.038 + ease] * (len(spine) - 3), 0.042 + ease, end + 0.004]
        ornaments = [_cuff(spine)] if far == 2.0 and garment.material != "knit" else []
        scene.paint(owner, _ribbon(spine, widths), cloth, ornaments)


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _cuff(spine: Sequence[Point]) -> Ornament:
    x, y = _between(spine[-2], spine[-1], 0.88)

    def sew(brush: Brush) -> None:
        brush.line([(x - 0.05, y - 0.004), (x + 0.05, y + 0.004)], toned(brush.cloth, 0.72))

    return sew


def _skirt(garment: Garment) -> BaseGeometry:
    hem = SKIRT_HEM[garment.length]
    flare = 0.0
    if {"flare", "pleats"} & set(garment.detail):
        flare = 0.05 + 0.17 * (hem - 0.5)
    elif "sash" in garment.detail:
        flare = 0.02 + 0.08 * (hem - 0.5)
    hips = 0.103 + flare * 0.22
    wide = 0.100 + flare - (0.014 if not flare and hem > 0.65 else 0.0)
    side = _curve([(0.068, 0.370), (0.084 + flare * 0.1, 0.425), (hips, 0.490), (wide, hem)])
    return _both_sides([(0, 0.370), *side, *_hem(wide, hem, flare)])


def _hem(wide: float, y: float, flare: float) -> list[Point]:
    """The lower edge from the right side to the middle; a wide one hangs in waves."""
    sag, wave = 0.010 + 0.06 * flare, 0.05 * flare
    points = 26
    return [
        (
            wide * (1 - t / points),
            y + sag * math.sin(math.pi / 2 * t / points) + wave * (1 - math.cos(t * 1.05)) / 2,
        )
        for t in range(1, points + 1)
    ]


def _trousers(figure: Figure, garment: Garment) -> BaseGeometry:
    hem = PANTS_HEM[garment.length]
    knee, ankle = {"skinny": (0.036, 0.024), "normal": (0.043, 0.037), "wide": (0.057, 0.070)}[garment.fit]
    s = figure.stance
    legs: list[BaseGeometry] = []
    for side in (-1, 1):
        x_knee, x_hem = 0.049 + s, 0.048 + 1.5 * s + max(0.0, ankle - 0.045)
        outer = _curve(
            [(0.067, 0.370), (0.085, 0.425), (0.101, 0.490), (x_knee + knee, 0.715), (x_hem + ankle, hem)]
        )
        inner = [(max(0.002, x_hem - ankle), hem + 0.003), (max(0.002, x_knee - knee), 0.715), (0.0, 0.552)]
        legs.append(Polygon([(side * x, y) for x, y in [(0, 0.370), *outer, *inner]]).buffer(0.0008))
    return unary_union(legs)


def _bottom_ornaments(garment: Garment) -> list[Ornament]:
    ornaments: list[Ornament] = [_waistband]
    if garment.category == "skirts":
        return [*_skirt_folds(garment), *ornaments]
    ornaments.append(_fly)
    if garment.category == "jeans":
        ornaments.append(_jeans_seams)
    elif garment.fit != "skinny":
        ornaments.append(_creases)
    return ornaments


def _skirt_folds(garment: Garment) -> list[Ornament]:
    hem = SKIRT_HEM[garment.length]
    many = {"pleats": 15, "flare": 8}.get(next(iter({"pleats", "flare"} & set(garment.detail)), ""), 0)

    def fold(brush: Brush) -> None:
        for number in range(many + 1):
            lean = -1 + 2 * number / many
            top = 0.385 if many > 10 else 0.43 + 0.05 * (number % 3)
            line = [(lean * 0.064, top), (lean * 0.11, 0.5), (lean * (0.08 + 0.4 * (hem - 0.4)), hem + 0.03)]
            brush.line(_curve(line), toned(brush.cloth, 0.80), 0.0022)
            brush.line(_curve([(x + 0.003, y) for x, y in line]), toned(brush.cloth, 1.12), 0.0016)

    return [fold] if many else []


def _waistband(brush: Brush) -> None:
    brush.line([(-0.12, 0.388), (0.12, 0.388)], toned(brush.cloth, 0.70))


def _fly(brush: Brush) -> None:
    brush.line(_curve([(0, 0.389), (0, 0.45), (0, 0.552)]), toned(brush.cloth, 0.68))
    brush.dot((0, 0.379), 0.0045, toned(brush.cloth, 0.62))


def _jeans_seams(brush: Brush) -> None:
    thread = (206, 156, 92)
    for side in (-1, 1):
        brush.line(
            _curve([(side * 0.034, 0.390), (side * 0.048, 0.415), (side * 0.088, 0.424)]), thread, 0.0016
        )
        brush.line(
            _curve([(side * 0.004, 0.395), (side * 0.016, 0.44), (side * 0.002, 0.475)]), thread, 0.0014
        )
        brush.line([(side * 0.02, 0.372), (side * 0.02, 0.387)], thread, 0.003)


def _creases(brush: Brush) -> None:
    for side in (-1, 1):
        brush.line([(side * 0.050, 0.43), (side * 0.054, 0.95)], toned(brush.cloth, 0.82))


def _top_ornaments(garment: Garment) -> list[Ornament]:
    ornaments: list[Ornament] = []
    if garment.part == "dress" and garment.category != "jumpsuits":
        ornaments += _skirt_folds(garment)
    if garment.category == "jumpsuits":
        ornaments.append(_fly)
    if "sash" in garment.detail:
        ornaments.append(_sash)
    elif garment.part == "dress":
        ornaments.append(_waist_seam)
    if garment.collar == "shirt-collar":
        ornaments.append(_placket)
    if garment.material == "knit":
        ornaments.append(_rib_hem(TOP_HEM[garment.length]))
    ornaments.append(_neck_trim(garment))
    return ornaments


def _sash(brush: Brush) -> None:
    dark = toned(brush.cloth, 0.62) if sum(brush.cloth) > 250 else toned(brush.cloth, 1.7)
    brush.shape([(-0.13, 0.362), (0.13, 0.362), (0.13, 0.386), (-0.13, 0.386)], dark)
    brush.shape([(0.018, 0.366), (0.034, 0.366), (0.044, 0.470), (0.026, 0.474)], dark)
    brush.shape([(0.012, 0.358), (0.036, 0.358), (0.036, 0.390), (0.012, 0.390)], toned(dark, 0.85))


def _waist_seam(brush: Brush) -> None:
    brush.line([(-0.12, 0.376), (0.12, 0.376)], toned(brush.cloth, 0.76))


def _placket(brush: Brush) -> None:
    brush.line([(0.011, 0.19), (0.011, 0.56)], toned(brush.cloth, 0.78), 0.0016)
    for number in range(8):
        brush.dot((0, 0.222 + 0.041 * number), 0.0038, toned(brush.cloth, 0.80))


def _rib_hem(hem: float) -> Ornament:
    def sew(brush: Brush) -> None:
        brush.line([(-0.14, hem - 0.020), (0.14, hem - 0.020)], toned(brush.cloth, 0.74))

    return sew


def _neck_trim(garment: Garment) -> Ornament:
    points = list(NECKLINES[garment.neckline])
    line = _curve(points) if garment.neckline in SMOOTH_NECKS else points

    def sew(brush: Brush) -> None:
        if garment.neckline == "turtleneck":
            brush.line([(-0.03, 0.150), (0.03, 0.150)], toned(brush.cloth, 0.74))
        elif garment.neckline:
            trim = [(x * 1.06, y + 0.008) for x, y in line]
            brush.line([*((-x, y) for x, y in reversed(trim)), *trim], toned(brush.cloth, 0.78))

    return sew


def _draw_outer(scene: Scene, owner: str, garment: Garment, cloth: Cloth) -> None:
    hem = OUTER_HEM[garment.length]
    opened = scene.rng.random() < 0.6
    gap = scene.rng.uniform(0.030, 0.048) if opened else 0.0
    _draw_sleeves(scene, owner, garment, cloth)
    ornaments = [_outer_ornaments(garment, hem, gap)]
    panels = [_panel(garment, hem, gap, side) for side in (-1, 1)]
    for panel in panels if opened else [unary_union(panels).buffer(0.001)]:
        scene.paint(owner, panel, cloth, ornaments)
    for side in (-1, 1):
        scene.paint(owner, _lapel(garment, gap, side), cloth)


def _panel(garment: Garment, hem: float, gap: float, side: int) -> BaseGeometry:
    ease = EASE[garment.fit] + 0.010
    shoulder = [
        (0.034, 0.160),
        (0.092 + ease * 0.5, 0.184),
        (0.095 + ease * 0.6, 0.215),
        (0.092 + ease, 0.250),
    ]
    skirt = max(0.0, hem - 0.52) * 0.10
    levels = [y for y in (0.32, 0.375, 0.43, 0.485) if y < hem - 0.02]
    edge = [(_body_width(y) + ease + (0.008 if abs(y - 0.375) < 0.03 else 0), y) for y in levels]
    right = [*shoulder, *_curve([shoulder[-1], *edge, (_body_width(hem) + ease + skirt, hem)])[1:]]
    front = [(gap, hem + 0.006), (gap * 0.9, 0.330)]
    return Polygon([(side * x, y) for x, y in [*right, *front]]).buffer(0)


def _lapel(garment: Garment, gap: float, side: int) -> BaseGeometry:
    if garment.collar == "standup-collar":
        points = [(0.020, 0.146), (0.032, 0.142), (0.046, 0.166), (0.040, 0.196), (0.026, 0.190)]
    else:
        points = [
            (0.024, 0.150), (0.036, 0.150), (0.066, 0.200), (0.056, 0.212), (0.070, 0.222),
            (gap * 0.9 + 0.004, 0.340), (gap * 0.9, 0.328), (0.030, 0.176),
        ]  # fmt: skip
    return Polygon([(side * x, y) for x, y in points]).buffer(0)


def _outer_ornaments(garment: Garment, hem: float, gap: float) -> Ornament:
    def sew(brush: Brush) -> None:
        dark = toned(brush.cloth, 0.66) if sum(brush.cloth) > 200 else toned(brush.cloth, 1.5)
        for side in (-1, 1):
            if "pockets" in garment.detail:
                brush.line([(side * 0.052, 0.492), (side * 0.094, 0.484)], dark, 0.004)
            if "zip-up" in garment.detail:
                brush.line(
                    [(side * (gap + 0.003), 0.20), (side * (gap + 0.003), hem)], (176, 172, 166), 0.003
                )
                brush.line([(side * 0.01, hem - 0.026), (side * 0.16, hem - 0.026)], dark)
        if "buttoned" in garment.detail:
            for number in range(2 if hem < 0.55 else 4):
                brush.dot((gap + 0.011 if gap else 0.0, 0.352 + 0.062 * number), 0.006, dark)
        if not gap:
            brush.line([(0, 0.33), (0, hem + 0.01)], dark, 0.0016)

    return sew
