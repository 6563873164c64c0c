"""The picture of a training must show what happened, whatever the figures."""

import io
import math
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from crowd.ml.curves import BLUE, PANEL, RED, draw_curves


def drawn(losses: Sequence[float], headlines: Sequence[float], prior: float | None = 0.2) -> Image.Image:
    rows = [
        {"epoch": n, "loss": loss, "headline": headline, "lr": 0.001}
        for n, (loss, headline) in enumerate(zip(losses, headlines, strict=True), 1)
    ]
    metrics: dict[str, Any] = {
        "epochs_done": rows,
        "headline": "mAP",
        "model": "baseline",
        "validation": {"prior": {"mAP": prior}},
    }
    return Image.open(io.BytesIO(draw_curves(metrics))).convert("RGB")


def heights(image: Image.Image, color: tuple[int, int, int], panel: int, x: int) -> list[int]:
    column = panel * PANEL[0] + x
    return [y for y in range(40, PANEL[1]) if image.getpixel((column, y)) == color]


def test_a_falling_loss_falls_and_the_baseline_is_a_level_below_the_model() -> None:
    image = drawn([1.0, 0.5, 0.1], [0.3, 0.6, 0.9])
    assert image.size == (3 * PANEL[0], PANEL[1])
    assert heights(image, BLUE, 0, 100)[0] < heights(image, BLUE, 0, 500)[0]
    left, right = heights(image, RED, 1, 150), heights(image, RED, 1, 400)
    assert left == right
    assert heights(image, BLUE, 1, 400)[-1] < right[0]


@pytest.mark.parametrize(
    ("losses", "headlines"),
    [([0.5], [0.4]), ([0.0, 0.0], [0.0, 0.0]), ([1e9, 1e-9], [1.0, 1.0]), ([math.inf, 1.0], [0.1, 0.2])],
)
def test_one_epoch_constant_and_huge_values_are_drawn(
    losses: Sequence[float], headlines: Sequence[float]
) -> None:
    assert drawn(losses, headlines, None).size == (3 * PANEL[0], PANEL[1])
