"""Cloth: its colour, print and material, and how light falls on it."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from crowd.simulation.wardrobe import RGB


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


def toned(color: RGB, factor: float) -> RGB:
    """The colour made lighter (above 1) or darker."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in color)
    return red, green, blue


def shaded(fabric: Image.Image, mask: Image.Image, unit: float) -> Image.Image:
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
