"""The curves of a training as a picture: loss, the chosen figure beside the baseline, learning rate."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

PANEL = (560, 360)
MARGINS = (70, 46, 24, 46)
INK, PALE, GRID = (38, 42, 50), (118, 124, 134), (226, 229, 233)
BLUE, RED = (42, 98, 176), (192, 70, 52)
TICKS = 5


class Line(NamedTuple):
    """One line of a panel: a point per epoch, or a level."""

    name: str
    values: Sequence[float]
    color: tuple[int, int, int]


def draw_curves(metrics: Mapping[str, Any]) -> bytes:
    """A PNG of the history in a training's metrics: three panels side by side."""
    rows = metrics["epochs_done"]
    headline = metrics["headline"]
    prior = metrics["validation"]["prior"][headline] or 0.0
    panels = [
        ("loss on training images", [Line("loss", [row["loss"] for row in rows], BLUE)]),
        (
            f"{headline} on validation images",
            [
                Line(metrics["model"], [row["headline"] for row in rows], BLUE),
                Line("prior", [prior] * len(rows), RED),
            ],
        ),
        ("learning rate", [Line("rate", [row["lr"] for row in rows], BLUE)]),
    ]
    return side_by_side([panel(title, lines, len(rows)) for title, lines in panels])


def draw_growth(report: Mapping[str, Any]) -> bytes:
    """A PNG of a report of growing data: errors on three sets, and top-3 accuracy on the benchmark set."""
    return side_by_side(growth_panels(report))


def growth_panels(report: Mapping[str, Any]) -> list[Image.Image]:
    """The panels of such a report; without top-3 accuracy where the task has none."""
    points = report["points"]
    images = [str(point["images"]) for point in points]
    splits = (("training", "train", PALE), ("validation", "validation", BLUE), ("benchmark", "test", RED))
    errors = [
        Line(name, [point[split]["error"] or 0.0 for point in points], color) for name, split, color in splits
    ]
    top3 = [
        Line(name, [point[split]["top3"] or 0.0 for point in points], color) for name, split, color in splits
    ]
    panels = [(f"error (1 - {report.get('headline', 'score')})", errors)]
    if points[0]["test"]["top3"] is not None:
        panels.append(("top-3 accuracy", top3))
    return [panel(title, lines, len(points), "training images", images) for title, lines in panels]


def side_by_side(panels: Sequence[Image.Image]) -> bytes:
    """A PNG of panels in a row."""
    picture = Image.new("RGB", (PANEL[0] * len(panels), PANEL[1]), "white")
    for place, each in enumerate(panels):
        picture.paste(each, (place * PANEL[0], 0))
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def panel(
    title: str, lines: Sequence[Line], epochs: int, axis: str = "epoch", names: Sequence[str] = ()
) -> Image.Image:
    """Lines over one axis of so many points, which have `names` or are numbered."""
    image = Image.new("RGB", PANEL, "white")
    pencil = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(13), ImageFont.load_default(16)
    left, top, right, bottom = MARGINS[0], MARGINS[1], PANEL[0] - MARGINS[2], PANEL[1] - MARGINS[3]
    low, high, step = _scale([value for line in lines for value in line.values])

    def at(epoch: float, value: float) -> tuple[float, float]:
        across = (epoch - 1) / max(1, epochs - 1)
        return left + across * (right - left), bottom - (value - low) / (high - low) * (bottom - top)

    pencil.text((left, 14), title, INK, large)
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        y = at(1, value)[1]
        pencil.line((left, y, right, y), GRID)
        pencil.text((left - 8, y), f"{value:.4g}", PALE, small, anchor="rm")
    for epoch in _ticks(epochs):
        told = names[epoch - 1] if names else str(epoch)
        pencil.text((at(epoch, low)[0], bottom + 8), told, PALE, small, anchor="mt")
    pencil.text((right, bottom + 26), axis, PALE, small, anchor="rt")
    for line in lines:
        points = [at(epoch, value) for epoch, value in enumerate(line.values, 1)]
        if len(points) > 1:
            pencil.line(points, line.color, 2, joint="curve")
        for x, y in points if epochs <= 30 else points[-1:]:
            pencil.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), line.color)
    if len(lines) > 1:
        _legend(pencil, lines, right, small)
    return image


def _legend(pencil: ImageDraw.ImageDraw, lines: Sequence[Line], right: int, font: Any) -> None:
    x = float(right)
    for line in reversed(lines):
        width = pencil.textlength(line.name, font)
        pencil.text((x - width, 16), line.name, line.color, font)
        x -= width + 16


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """The axis from 0, or below it, up past the greatest value, in round steps."""
    shown = [value for value in values if math.isfinite(value)] or [1.0]
    low, high = min(0.0, *shown), max(0.0, *shown)
    rough = (high - low or 1.0) / TICKS
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough * 0.999)
    return math.floor(low / step) * step, math.ceil(high / step * 0.999) * step or step, step


def _ticks(epochs: int) -> list[int]:
    step = max(1, math.ceil(epochs / 10))
    return sorted({1, *range(step, epochs + 1, step)})
