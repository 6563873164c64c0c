"""What is sewn onto clothes: seams, folds, buttons, trims. It changes no outline."""

from collections.abc import Sequence

from crowd.simulation.drawing.cloth import toned
from crowd.simulation.drawing.lines import Point, between, curve
from crowd.simulation.drawing.measures import NECKLINES, SKIRT_HEM, SMOOTH_NECKS, TOP_HEM
from crowd.simulation.drawing.scene import Brush, Ornament
from crowd.simulation.wardrobe import Garment


def cuff(spine: Sequence[Point]) -> Ornament:
    """The seam of a cuff, near the end of a sleeve."""
    x, y = between(spine[-2], spine[-1], 0.88)

    def sew(brush: Brush) -> None:
        brush.line([(x - 0.05, y - 0.004), (x + 0.05, y + 0.004)], toned(brush.cloth, 0.72))

    return sew


def bottom_ornaments(garment: Garment) -> list[Ornament]:
    """What is sewn onto a skirt or trousers."""
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
            brush.line(curve(line), toned(brush.cloth, 0.80), 0.0022)
            brush.line(curve([(x + 0.003, y) for x, y in line]), toned(brush.cloth, 1.12), 0.0016)

    return [fold] if many else []


def _waistband(brush: Brush) -> None:
    brush.line([(-0.12, 0.388), (0.12, 0.388)], toned(brush.cloth, 0.70))


def _fly(brush: Brush) -> None:
    brush.line(curve([(0, 0.389), (0, 0.45), (0, 0.552)]), toned(brush.cloth, 0.68))
    brush.dot((0, 0.379), 0.0045, toned(brush.cloth, 0.62))


def _jeans_seams(brush: Brush) -> None:
    thread = (206, 156, 92)
    for side in (-1, 1):
        brush.line(
            curve([(side * 0.034, 0.390), (side * 0.048, 0.415), (side * 0.088, 0.424)]), thread, 0.0016
        )
        brush.line(
            curve([(side * 0.004, 0.395), (side * 0.016, 0.44), (side * 0.002, 0.475)]), thread, 0.0014
        )
        brush.line([(side * 0.02, 0.372), (side * 0.02, 0.387)], thread, 0.003)


def _creases(brush: Brush) -> None:
    for side in (-1, 1):
        brush.line([(side * 0.050, 0.43), (side * 0.054, 0.95)], toned(brush.cloth, 0.82))


def top_ornaments(garment: Garment) -> list[Ornament]:
    """What is sewn onto a top, a dress or a jumpsuit."""
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
    line = curve(points) if garment.neckline in SMOOTH_NECKS else points

    def sew(brush: Brush) -> None:
        if garment.neckline == "turtleneck":
            brush.line([(-0.03, 0.150), (0.03, 0.150)], toned(brush.cloth, 0.74))
        elif garment.neckline:
            trim = [(x * 1.06, y + 0.008) for x, y in line]
            brush.line([*((-x, y) for x, y in reversed(trim)), *trim], toned(brush.cloth, 0.78))

    return sew


def outer_ornaments(garment: Garment, hem: float, gap: float) -> Ornament:
    """What is sewn onto the front of an outer; `gap`: half of how far it is open, 0 if it is closed."""

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
