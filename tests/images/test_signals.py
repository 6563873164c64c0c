"""The simple signs see what they are for, on drawings, on photographs, and on pictures made to show it."""

import io
import os
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from crowd import policy
from crowd.images import service
from crowd.images.checks import SCORED, Found, Measures, check, outcome
from crowd.images.models import ImageState, Rights
from crowd.images.service import Delivery, take_upload
from crowd.images.signals import perceptual_hash, read_signals
from crowd.policy import Action, IntakePolicy, load_policy
from crowd.runtime import Runtime
from crowd.simulation.drawing import draw
from crowd.simulation.samples import sample_photographs
from tests.pictures import jpeg


@pytest.fixture(scope="module")
def strict() -> IntakePolicy:
    return load_policy(Path(policy.__file__).with_name("strict.yaml")).intake


@pytest.fixture(scope="module")
def default() -> IntakePolicy:
    return load_policy().intake


@cache
def drawn(seed: int) -> Image.Image:
    return draw(seed).image.convert("RGB")


@cache
def photograph(name: str) -> Image.Image:
    found = dict(sample_photographs())
    if name not in found:
        pytest.skip("no sample photographs are installed")
    return Image.open(io.BytesIO(found[name])).convert("RGB")


def figure(ground: str = "white", width: int = 600) -> Image.Image:
    image = Image.new("RGB", (width, 900), ground)
    pencil = ImageDraw.Draw(image)
    middle = width // 2
    pencil.ellipse((middle - 50, 40, middle + 50, 160), fill=(230, 190, 160))
    pencil.rectangle((middle - 100, 170, middle + 100, 450), fill=(200, 30, 60))
    pencil.polygon(
        [(middle - 100, 450), (middle + 100, 450), (middle + 160, 800), (middle - 160, 800)],
        fill=(30, 40, 120),
    )
    return image


def found_in(image: Image.Image, policy: IntakePolicy) -> list[Found]:
    signals = read_signals(image).as_json()
    return check(Measures(image.width, image.height, None, signals, 0), policy)


def codes(image: Image.Image, policy: IntakePolicy) -> set[str]:
    return {each.code for each in found_in(image, policy)}


@pytest.mark.parametrize("seed", range(6))
def test_an_ordinary_drawing_passes_by_default_and_is_refused_to_the_letter(
    seed: int, default: IntakePolicy, strict: IntakePolicy
) -> None:
    for image in (drawn(seed), figure()):
        assert outcome(found_in(image, default)) in (Action.IGNORE, Action.NOTE)
        refused = [each for each in found_in(image, strict) if each.action is Action.REFUSE]
        assert [each.code for each in refused] == ["illustration"]
        assert refused[0].numbers["tones"] <= refused[0].limits["most_tones"]


@pytest.mark.parametrize("name", ["astronaut.png", "grace_hopper.jpg"])
def test_a_photograph_of_somebody_is_no_illustration_and_no_collage(name: str, strict: IntakePolicy) -> None:
    assert not codes(photograph(name), strict) & {
        "illustration",
        "collage",
        "overlap",
        "cut_off",
        "not_fashion",
    }


def test_two_photographs_side_by_side_are_a_collage(strict: IntakePolicy) -> None:
    both = Image.new("RGB", (1000, 600))
    both.paste(photograph("astronaut.png").resize((500, 600)), (0, 0))
    both.paste(photograph("grace_hopper.jpg").resize((500, 600)), (500, 0))
    assert "collage" in codes(both, strict)


def test_what_is_written_at_the_edge_is_a_watermark(strict: IntakePolicy) -> None:
    image = figure()
    assert "watermark" not in codes(image, strict)
    ImageDraw.Draw(image).text(
        (60, 830), "www.shop-now.com", font=ImageFont.load_default(48), fill=(90, 90, 90)
    )
    (found,) = [each for each in found_in(image, strict) if each.code == "watermark"]
    assert found.numbers["strokes"] >= found.limits["least_strokes"]


def test_two_figures_overlap_and_one_does_not(strict: IntakePolicy) -> None:
    two = Image.new("RGB", (1200, 900))
    two.paste(figure(), (0, 0))
    two.paste(figure(), (600, 0))
    assert "overlap" in codes(two, strict)
    assert "overlap" not in codes(figure(), strict)


def test_a_figure_that_leaves_the_picture_is_cut_off(strict: IntakePolicy) -> None:
    assert "cut_off" not in codes(figure(), strict)
    assert "cut_off" in codes(figure().crop((250, 0, 600, 900)), strict)


def test_a_scene_without_anybody_is_doubted_and_held_but_never_refused_for_it(strict: IntakePolicy) -> None:
    rng = random.Random(4)
    scene = Image.new("RGB", (400, 400))
    for _ in range(900):
        x, y = rng.randrange(400), rng.randrange(400)
        colour = (rng.randrange(60), rng.randrange(60, 256), rng.randrange(60, 256))
        ImageDraw.Draw(scene).ellipse((x, y, x + 40, y + 30), fill=colour)
    doubts = [each for each in found_in(scene.crop((40, 40, 360, 360)), strict) if each.code == "not_fashion"]
    assert [each.action for each in doubts] == [Action.HOLD]


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 5), (8, 8), (2000, 40)])
def test_a_picture_of_any_shape_is_read(size: tuple[int, int], strict: IntakePolicy) -> None:
    for image in (
        Image.new("RGB", size, "red"),
        Image.frombytes("RGB", size, os.urandom(3 * size[0] * size[1])),
    ):
        assert found_in(image, strict)


def test_the_hash_stays_when_a_picture_is_scaled_and_compressed_and_moves_when_it_is_another() -> None:
    prints = {}
    for seed in range(12):
        image = drawn(seed)
        first = perceptual_hash(image)
        assert first is not None
        out = io.BytesIO()
        image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(out, "JPEG", quality=70)
        again = perceptual_hash(Image.open(out))
        assert again is not None
        assert (first ^ again).bit_count() <= 3
        prints[seed] = first
    apart = [(a ^ b).bit_count() for one, a in prints.items() for other, b in prints.items() if one < other]
    assert min(apart) > 3


def test_a_brighter_print_of_a_photograph_keeps_its_hash() -> None:
    image = photograph("astronaut.png")
    one, other = perceptual_hash(image), perceptual_hash(ImageEnhance.Brightness(image).enhance(1.1))
    assert one is not None
    assert other is not None
    assert (one ^ other).bit_count() <= 3


def test_a_picture_without_contrast_has_no_hash() -> None:
    assert perceptual_hash(Image.new("RGB", (50, 50), "red")) is None


def test_a_garment_on_a_plain_ground_without_a_wearer_is_doubted(strict: IntakePolicy) -> None:
    flat = Image.new("RGB", (600, 800), "white")
    ImageDraw.Draw(flat).rectangle((150, 200, 450, 600), fill=(30, 60, 160))
    (found,) = [each for each in found_in(flat, strict) if each.code == "not_worn"]
    assert found.action is Action.HOLD
    assert "not_worn" not in codes(photograph("astronaut.png"), strict)


def test_a_models_score_takes_the_place_of_the_signs(strict: IntakePolicy) -> None:
    image = drawn(1)
    assert "illustration" in codes(image, strict)
    measures = Measures(600, 800, None, read_signals(image).as_json(), 0)

    def scored(policy: IntakePolicy, **scores: float) -> dict[str, tuple[Action, float | None]]:
        found = check(replace(measures, scores=scores), policy)
        return {each.code: (each.action, each.numbers.get("score")) for each in found if each.code in SCORED}

    said = scored(strict, illustration=0.1, not_worn=0.5, product_overlap=0.9, collage=0.49)
    assert "illustration" not in said
    assert "collage" not in said
    assert said["not_worn"] == (Action.HOLD, 0.5)
    assert said["product_overlap"] == (Action.REFUSE, 0.9)
    by_default = scored(load_policy().intake, product_overlap=0.95)
    assert by_default["product_overlap"] == (Action.HOLD, 0.95)


def test_what_a_model_says_of_a_working_image_decides_about_it(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def scorer(_: Runtime, working: Path) -> dict[str, float]:
        seen.append(Image.open(working).size)
        return {"product_overlap": 0.7}

    monkeypatch.setattr(service, "SCORERS", [scorer])
    taken = take_upload(rt, jpeg(1), Delivery("Shop", "a.jpg", Rights.OWNED), None)
    assert (taken.state, len(seen)) == (ImageState.HELD, 1)
    assert [each.code for each in taken.findings if each.action is Action.HOLD] == ["product_overlap"]
