"""Clothes: the outline of each piece, and the order in which its parts are painted."""

import math

from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from crowd.simulation.drawing.body import arm_line, body_width
from crowd.simulation.drawing.cloth import Cloth
from crowd.simulation.drawing.lines import Point, between, both_sides, curve, ribbon
from crowd.simulation.drawing.measures import (
    EASE,
    NECKLINES,
    OUTER_HEM,
    PANTS_HEM,
    SKIRT_HEM,
    SLEEVES,
    SMOOTH_NECKS,
    TOP_HEM,
)
from crowd.simulation.drawing.ornaments import bottom_ornaments, cuff, outer_ornaments, top_ornaments
from crowd.simulation.drawing.scene import OVERSAMPLING, Figure, Scene
from crowd.simulation.wardrobe import COLORS, Garment


def draw_garment(scene: Scene, owner: str, garment: Garment, tucked: bool) -> None:
    """Paints a garment over all so far, as the region `owner`; a `tucked` top ends at the waist."""
    second = COLORS[garment.sub_color] if garment.sub_color else (255, 255, 255)
    scale = scene.figure.unit * OVERSAMPLING * 0.022
    cloth = Cloth(
        COLORS[garment.color], garment.print, second, garment.material, scale, scene.rng.randrange(1000)
    )
    if garment.part == "outer":
        _draw_outer(scene, owner, garment, cloth)
    elif garment.part == "bottom":
        shape = _skirt(garment) if garment.category == "skirts" else _trousers(scene.figure, garment)
        scene.paint(owner, shape, cloth, bottom_ornaments(garment))
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
    scene.paint(owner, shape, cloth, top_ornaments(garment))
    if garment.collar == "shirt-collar":
        for side in (-1, 1):
            flap = [(0.002, 0.193), (0.024, 0.150), (0.036, 0.156), (0.046, 0.176), (0.026, 0.206)]
            scene.paint(owner, Polygon([(side * x, y) for x, y in flap]), cloth)


def _torso(garment: Garment, hem: float) -> BaseGeometry:
    ease = EASE[garment.fit] if hem > 0.41 else min(EASE[garment.fit], 0.006)
    neck = list(NECKLINES[garment.neckline])
    if garment.neckline in SMOOTH_NECKS:
        neck = curve(neck)
    if garment.sleeve == "sleeveless":
        shoulder = [(0.080, 0.180), (0.074, 0.205), (0.077, 0.228), (0.084 + ease, 0.246)]
    else:
        shoulder = [(0.096 + ease * 0.6, 0.188), (0.099 + ease, 0.215), (0.087 + ease, 0.248)]
    levels = [0.27, 0.32, 0.375, 0.43, 0.485, 0.54]
    below = [y for y in levels if y < hem - 0.012] + [hem]
    loosening = 0.6 if garment.fit in ("loose", "oversized") else 0.25
    side = [(body_width(y) + ease + max(0.0, 0.02 - abs(y - 0.375)) * loosening, y) for y in below]
    body = curve([shoulder[-1], *side])[1:]
    return both_sides([*neck, *shoulder, *body, (0, hem + 0.007)])


def _draw_sleeves(scene: Scene, owner: str, garment: Garment, cloth: Cloth) -> None:
    far = SLEEVES.get(garment.sleeve or "")
    if far is None:
        return
    ease = EASE[garment.fit] * 0.8 + (0.007 if garment.part == "outer" else 0.0)
    end = 0.030 - 0.007 * far
    for side in (-1, 1):
        spine = arm_line(scene.figure, side, far if not scene.figure.on_stand else min(far, 1.95))
        widths = [0.033 + ease * 0.45, 0.028 + ease, end + ease][: len(spine)]
        if "puff" in garment.detail:
            middle = between(spine[-2], spine[-1], 0.62)
            spine = [*spine[:-1], middle, spine[-1]]
            widths = [0.034 + ease, *[0.038 + ease] * (len(spine) - 3), 0.042 + ease, end + 0.004]
        ornaments = [cuff(spine)] if far == 2.0 and garment.material != "knit" else []
        scene.paint(owner, ribbon(spine, widths), cloth, ornaments)


def _skirt(garment: Garment) -> BaseGeometry:
    hem = SKIRT_HEM[garment.length]
    flare = 0.0
    if {"flare", "pleats"} & set(garment.detail):
        flare = 0.05 + 0.17 * (hem - 0.5)
    elif "sash" in garment.detail:
        flare = 0.02 + 0.08 * (hem - 0.5)
    hips = 0.103 + flare * 0.22
    wide = 0.100 + flare - (0.014 if not flare and hem > 0.65 else 0.0)
    side = curve([(0.068, 0.370), (0.084 + flare * 0.1, 0.425), (hips, 0.490), (wide, hem)])
    return both_sides([(0, 0.370), *side, *_hem(wide, hem, flare)])


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
        outer = curve(
            [(0.067, 0.370), (0.085, 0.425), (0.101, 0.490), (x_knee + knee, 0.715), (x_hem + ankle, hem)]
        )
        inner = [(max(0.002, x_hem - ankle), hem + 0.003), (max(0.002, x_knee - knee), 0.715), (0.0, 0.552)]
        legs.append(Polygon([(side * x, y) for x, y in [(0, 0.370), *outer, *inner]]).buffer(0.0008))
    return unary_union(legs)


def _draw_outer(scene: Scene, owner: str, garment: Garment, cloth: Cloth) -> None:
    hem = OUTER_HEM[garment.length]
    opened = scene.rng.random() < 0.6
    gap = scene.rng.uniform(0.030, 0.048) if opened else 0.0
    _draw_sleeves(scene, owner, garment, cloth)
    ornaments = [outer_ornaments(garment, hem, gap)]
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
    edge = [(body_width(y) + ease + (0.008 if abs(y - 0.375) < 0.03 else 0), y) for y in levels]
    right = [*shoulder, *curve([shoulder[-1], *edge, (body_width(hem) + ease + skirt, hem)])[1:]]
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
