"""A model file at work: images in, candidates in the API's form out; memory that runs out; outlines."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from PIL import Image

from crowd.ml.card import Card, parse_card, read_card
from crowd.ml.nets import create_model
from crowd.ml.outlines import rings_of
from crowd.ml.pending import Wanted
from crowd.ml.predict import ImageUnusable, ModelUnusable, Predictor, load_predictor
from crowd.policy import Stage
from crowd.tasks.labels import check_segmentation
from crowd.taxonomy import load_taxonomy
from tests.ml.shelf import (
    STYLES,
    attributes_card,
    picture,
    segmentation_card,
    styles_card,
    write_model,
)

TAXONOMY = load_taxonomy()
REGIONS = (
    {"id": "a", "part": "top", "rings": [], "box": [0, 0, 50, 50]},
    {"id": "b", "part": "dress", "rings": [], "box": [10, 60, 80, 100]},
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def loaded(folder: Path, card: dict[str, Any], batch: int | None = None) -> Predictor:
    path = write_model(folder / "model.safetensors", card)
    return load_predictor(path, sha256_of(path), card_of(path), TAXONOMY, "cpu", batch)


def sha256_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def card_of(path: Path) -> Card:
    with path.open("rb") as file:
        return read_card(file)


def image(folder: Path, number: int, size: tuple[int, int] = (100, 200)) -> Path:
    path = folder / f"{number}.jpg"
    path.write_bytes(picture(number, size))
    return path


def wanted(number: int, size: tuple[int, int] = (100, 200), regions: Sequence[Any] = ()) -> Wanted:
    return Wanted(number, number, b"", *size, regions)


def candidates(predictor: Predictor, folder: Path, tasks: Sequence[Wanted]) -> list[dict[str, Any]]:
    ready = [
        predictor.prepare(task, image(folder, task.task_id, (task.width, task.height))) for task in tasks
    ]
    answers = predictor.collect(predictor.launch(ready))
    return [predictor.candidates(task, said) for task, said in zip(tasks, answers, strict=True)]


def test_styles_are_ranked_with_the_scores_of_the_net(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, styles_card())
    (found,) = candidates(predictor, tmp_path, [wanted(1)])
    with torch.inference_mode(), Image.open(tmp_path / "1.jpg") as opened:
        net = predictor.net
        pixels = np.asarray(opened.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR), np.float32)
        x = torch.from_numpy((pixels / 255 - 0.5) / 0.25).permute(2, 0, 1)[None]
        scores = net(x)[0].sigmoid()
    best = sorted(zip(scores.tolist(), STYLES, strict=True), reverse=True)[:5]
    assert [entry["value"] for entry in found["styles"]] == [name for _, name in best]
    assert [entry["score"] for entry in found["styles"]] == pytest.approx(
        [score for score, _ in best], abs=0.01
    )


def test_each_task_gets_the_candidates_of_its_own_image(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, styles_card(), batch=3)
    tasks = [wanted(number) for number in range(1, 9)]
    together = candidates(predictor, tmp_path, tasks)
    alone = [candidates(predictor, tmp_path, [task])[0] for task in tasks]
    assert len({str(each) for each in alone}) > 4, "the images must differ for this to tell anything"
    for one, other in zip(together, alone, strict=True):
        for mine, theirs in zip(one["styles"], other["styles"], strict=True):
            assert mine["score"] == pytest.approx(theirs["score"], abs=0.001)


def test_attributes_are_those_of_each_regions_part(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, attributes_card())
    found = candidates(predictor, tmp_path, [wanted(1, regions=REGIONS), wanted(2, regions=REGIONS[:1])])
    assert [list(each["regions"]) for each in found] == [["a", "b"], ["a"]]
    for name, part in (("a", "top"), ("b", "dress")):
        ranked = found[0]["regions"][name]
        assert list(ranked) == [attribute.key for attribute in TAXONOMY.attributes_for(part)]
        for key, entries in ranked.items():
            attribute = TAXONOMY.attribute(key)
            assert attribute is not None
            offered = {value.key for value in attribute.values_for(part)}
            assert {entry["value"] for entry in entries} <= offered
            scores = [entry["score"] for entry in entries]
            assert scores == sorted(scores, reverse=True)
            assert entries


def test_found_garments_are_regions_that_anybody_could_submit(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, segmentation_card())
    task = wanted(1)
    mask = torch.zeros(1, 200, 100)
    mask[0, 20:80, 10:60] = 0.9
    said = {
        "labels": torch.tensor([2, 1]),
        "scores": torch.tensor([0.8, 0.1]),
        "masks": torch.stack([mask, mask]),
        "boxes": torch.zeros(2, 4),
    }
    found = predictor.candidates(task, [said])
    (region,) = found["regions"]
    assert (region["part"], region["score"], region["box"]) == ("top", 0.8, [10, 20, 50, 60])
    bare = {key: value for key, value in region.items() if key != "score"}
    assert check_segmentation({"regions": [bare]}, TAXONOMY, 100, 200)


def test_a_detector_runs_on_images_of_different_sizes(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, segmentation_card())
    found = candidates(predictor, tmp_path, [wanted(1, (100, 200)), wanted(2, (160, 90))])
    assert [list(each) for each in found] == [["regions"], ["regions"]]


def test_a_batch_that_does_not_fit_is_halved_and_that_is_remembered() -> None:
    card = parse_card(styles_card())
    net = Narrow(create_model(card.net, **card.options), most=5)
    predictor = Predictor(net, card, TAXONOMY, "cpu", batch=32)
    units = [np.full((32, 32, 3), number, np.uint8) for number in range(20)]
    said = [predictor._try(units[start:]) for start in (0, 4, 16)]
    assert [count for _, count in said] == [5, 5, 4]
    assert predictor.batch == 5
    assert net.refused == [20, 10]


class Narrow(torch.nn.Module):
    """A net on a device with room for a few images."""

    def __init__(self, net: torch.nn.Module, most: int) -> None:
        super().__init__()
        self.net = net
        self.most = most
        self.refused: list[int] = []

    def forward(self, images: torch.Tensor) -> Any:
        if len(images) > self.most:
            self.refused.append(len(images))
            raise torch.OutOfMemoryError("no room")
        return self.net(images)


def test_an_image_that_fits_nowhere_is_an_error_and_no_endless_loop() -> None:
    card = parse_card(styles_card())
    predictor = Predictor(Narrow(torch.nn.Identity(), most=0), card, TAXONOMY, "cpu")
    with pytest.raises(torch.OutOfMemoryError):
        predictor._try([np.zeros((32, 32, 3), np.uint8)])


def test_an_image_that_is_not_the_tasks_own_is_refused(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, styles_card())
    path = image(tmp_path, 1, (64, 64))
    with pytest.raises(ImageUnusable, match="64 x 64"):
        predictor.prepare(wanted(1), path)
    with pytest.raises(ImageUnusable, match="not there"):
        predictor.prepare(wanted(1), tmp_path / "nowhere.jpg")
    path.write_bytes(picture(1, (100, 200))[:400])
    with pytest.raises(ImageUnusable, match="decoded"):
        predictor.prepare(wanted(1), path)


def test_a_file_that_was_exchanged_is_not_loaded(tmp_path: Path) -> None:
    path = write_model(tmp_path / "one.safetensors", styles_card())
    with pytest.raises(ModelUnusable, match="changed"):
        load_predictor(path, b"0" * 32, card_of(path), TAXONOMY, "cpu")


def test_a_card_that_does_not_fit_its_weights_is_told(tmp_path: Path) -> None:
    path = write_model(tmp_path / "one.safetensors", styles_card())
    other = styles_card(options={"labels": 3, "backbone": "resnet18", "size": 32})
    with pytest.raises(ModelUnusable, match="does not describe"):
        load_predictor(path, sha256_of(path), parse_card(other), TAXONOMY, "cpu")


def test_the_outline_of_a_mask_covers_it() -> None:
    rows, columns = np.mgrid[0:200, 0:160]
    mask = (rows - 90) ** 2 + (columns - 70) ** 2 < 55**2
    mask |= (rows > 160) & (columns < 40)
    mask[5, 5] = True
    rings = rings_of(mask)
    assert len(rings) == 2, "a single pixel is noise"
    assert len(rings[0]) < 60
    drawn = shapely.union_all([shapely.Polygon(ring) for ring in rings])
    assert drawn.area == pytest.approx(mask.sum(), rel=0.02)
    assert drawn.is_valid


def test_pieces_that_touch_at_a_corner_stay_apart_and_holes_are_filled() -> None:
    mask = np.zeros((60, 60), bool)
    mask[0:30, 0:30] = True
    mask[30:60, 30:60] = True
    mask[10:20, 10:20] = False
    rings = rings_of(mask)
    assert len(rings) == 2
    for ring in rings:
        assert shapely.Polygon(ring).is_valid
        assert shapely.Polygon(ring).area == pytest.approx(900)


def test_an_empty_mask_has_no_outline() -> None:
    assert rings_of(np.zeros((10, 10), bool)) == []


def test_every_stage_has_a_card_that_reads() -> None:
    for document in (styles_card(), attributes_card(), segmentation_card()):
        assert parse_card(document).stage is Stage(document["stage"])


def test_a_thumbnail_serves_a_net_that_would_see_no_more_of_the_working_image(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, styles_card())
    task = wanted(1, (320, 640))
    assert predictor.is_enough(task, 64)
    # 31 px across for a net of 32: something would be lost.
    assert not predictor.is_enough(task, 63)
    assert not predictor.is_enough(wanted(1, (40, 40)), 40)
    assert not loaded(tmp_path, segmentation_card()).is_enough(task, 600)


def test_small_crops_need_the_working_image(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, attributes_card())
    whole = [{"id": "a", "part": "dress", "box": [0.0, 0.0, 320.0, 640.0]}]
    small = [*whole, {"id": "b", "part": "top", "box": [0.0, 0.0, 40.0, 40.0]}]
    assert predictor.is_enough(wanted(1, (320, 640), whole), 128)
    assert not predictor.is_enough(wanted(1, (320, 640), small), 128)


def test_a_thumbnail_says_what_the_working_image_says(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, styles_card())
    task = wanted(1, (320, 640))
    path = image(tmp_path, 1, (320, 640))
    with Image.open(path) as opened:
        opened.resize((128, 256), Image.Resampling.LANCZOS).save(tmp_path / "small.jpg", quality=85)
        opened.resize((128, 200)).save(tmp_path / "crooked.jpg")
        opened.resize((20, 40)).save(tmp_path / "tiny.jpg")
    (tmp_path / "broken.jpg").write_bytes(path.read_bytes()[:300])
    large, small = predictor.prepare(task, path), predictor.prepare_small(task, tmp_path / "small.jpg")
    assert small is not None
    off = np.abs(large.units[0].astype(int) - small.units[0].astype(int))
    assert off.mean() < 4
    for name in ("crooked", "tiny", "broken", "missing"):
        assert predictor.prepare_small(task, tmp_path / f"{name}.jpg") is None
