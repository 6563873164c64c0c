"""Whole pictures: a dressed figure, with the labels an honest worker would give it."""

import random
from dataclasses import dataclass
from typing import Any

from PIL import Image

from crowd.simulation.drawing.body import draw_body
from crowd.simulation.drawing.garments import draw_garment
from crowd.simulation.drawing.scene import WIDTHS, Scene
from crowd.simulation.wardrobe import Garment, Outfit, dress_up


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn image and its `truth`: results for the three labelling stages in the form of the API."""

    image: Image.Image
    truth: dict[str, dict[str, Any]]


def draw(seed: int) -> Drawn:
    """Draws one image, 480 to 800 pixels wide and upright; the same seed gives the same image and truth."""
    rng = random.Random(seed)
    return draw_outfit(rng, dress_up(rng))


def draw_outfit(rng: random.Random, outfit: Outfit, width: int | None = None) -> Drawn:
    """Draws a picture of the outfit: its pose and studio are thrown, and its width too if none is given."""
    scene = Scene(rng, *_size(rng, width), _has_trousers(outfit))
    draw_body(scene)
    regions: dict[str, dict[str, object]] = {}
    for number, garment in enumerate(_wearing_order(rng, outfit), 1):
        owner = f"r{number}"
        tucked = number == 1 and garment.part == "top"
        draw_garment(scene, owner, garment, tucked)
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
