"""The figure itself, bare: body, head, limbs and shoes, or the stand that holds it."""

import itertools

from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from crowd.simulation.drawing.cloth import Cloth
from crowd.simulation.drawing.lines import Point, both_sides, curve, oval, ribbon
from crowd.simulation.drawing.measures import BODY, MANNEQUINS, SHOES
from crowd.simulation.drawing.scene import Figure, Scene


def body_width(y: float) -> float:
    """Half the width of the body at a height."""
    for (y0, w0), (y1, w1) in itertools.pairwise(BODY):
        if y <= y1:
            share = max(0.0, (y - y0) / (y1 - y0))
            return w0 + (w1 - w0) * share
    return BODY[-1][1]


def arm_line(figure: Figure, side: int, far: float = 2.0) -> list[Point]:
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


def draw_body(scene: Scene) -> None:
    """Paints the figure into the empty studio."""
    figure, rng = scene.figure, scene.rng
    skin = Cloth(rng.choice(MANNEQUINS))
    trunk = both_sides([(0, 0.150), *curve([(0.022, 0.150), *((w, y) for y, w in BODY)]), (0, 0.56)])
    if figure.on_stand:
        _draw_stand(scene)
    else:
        shoe = Cloth(rng.choice(SHOES))
        for side in (-1, 1):
            _draw_leg(scene, side, skin, shoe)
            arm = arm_line(figure, side)
            wrist = arm[-1]
            hand = oval(wrist[0] + side * 0.003, wrist[1] + 0.024, 0.0145, 0.035)
            scene.paint(None, unary_union([ribbon(arm, (0.029, 0.0205, 0.0135)), hand]), skin)
    neck = both_sides([(0, 0.100), (0.021, 0.100), (0.020, 0.140), (0.034, 0.168), (0, 0.185)])
    scene.paint(None, unary_union([trunk, neck]), skin)
    if figure.on_stand:
        scene.paint(None, oval(0, 0.104, 0.023, 0.010), Cloth((120, 92, 70)))
    else:
        scene.paint(None, _head(), skin)


def _head() -> BaseGeometry:
    return both_sides(
        [
            (0, 0.0),
            *curve([(0.020, 0.002), (0.040, 0.022), (0.044, 0.055), (0.036, 0.092), (0.016, 0.117)]),
            (0, 0.121),
        ]
    )


def _draw_stand(scene: Scene) -> None:
    metal = Cloth((92, 88, 90))
    scene.paint(None, box(-0.007, 0.5, 0.007, 0.97), metal)
    scene.paint(None, oval(0, 0.978, 0.105, 0.014), metal)


def _draw_leg(scene: Scene, side: int, skin: Cloth, shoe: Cloth) -> None:
    s = scene.figure.stance
    leg = [(side * 0.050, 0.50), (side * (0.048 + s), 0.715), (side * (0.046 + 1.6 * s), 0.955)]
    scene.paint(None, ribbon(leg, (0.050, 0.031, 0.016)), skin)
    x = side * (0.048 + 1.6 * s)
    sole = [(-0.021, 0.944), (0.017, 0.944), (0.021, 0.965), (0.030, 0.985), (0.022, 0.998), (-0.018, 0.998)]
    sole += [(-0.025, 0.980)]
    scene.paint(None, Polygon([(x + side * dx, y) for dx, y in sole]).buffer(0.004), shoe)
