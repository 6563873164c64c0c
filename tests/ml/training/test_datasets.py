"""Tensors to learn from must show what the sample says, and augmentation must come out the same again."""

import numpy as np
import pytest
import torch
from PIL import Image

from crowd.ml.data import TRAIN, DataError, DataSet, Garment, Sample
from crowd.ml.nets import UNANSWERED, Preprocess
from crowd.ml.training.attributes import asked_of
from crowd.ml.training.datasets import (
    Dice,
    GarmentCrops,
    GarmentImages,
    StyleImages,
    mask_of,
    plain_loader,
    training_loader,
)
from crowd.ml.training.ranks import Ranks
from crowd.simulation.wardrobe import COLORS
from crowd.taxonomy import Taxonomy

PLAIN = Preprocess(48, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
WHOLE = Preprocess(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
PARTS = ("outer", "top", "bottom", "dress")
ALONE = Ranks(0, 1, torch.device("cpu"))


def test_a_crop_shows_the_garments_colour_in_its_middle(few_read: DataSet, taxonomy: Taxonomy) -> None:
    crops = GarmentCrops(few_read.samples, asked_of(few_read.samples, taxonomy), PLAIN, Dice(0))
    checked = 0
    for number, (_, garment) in enumerate(crops.garments):
        color = garment.attributes["color"][0]
        if garment.part != "dress" or garment.attributes["print"] != ("solid",) or color == "white":
            continue
        middle = crops[number, None][0][:, 20:28, 20:28].mean(dim=(1, 2)) * 255
        assert np.allclose(middle.numpy(), COLORS[color], atol=40), color
        checked += 1
    assert checked >= 2


def test_answers_are_places_in_the_taxonomy_and_what_is_not_said_does_not_count(
    few_read: DataSet, taxonomy: Taxonomy
) -> None:
    asked = asked_of(few_read.samples, taxonomy)
    assert {key for key, each in asked.items() if each.multiple} == {"detail", "print", "material"}
    crops = GarmentCrops(few_read.samples, asked, PLAIN, Dice(0))
    for number, (_, garment) in enumerate(crops.garments):
        answers = crops.answers(number)
        assert set(answers) == set(asked)
        for key, answer in answers.items():
            told = garment.attributes.get(key, ())
            if asked[key].multiple:
                assert [asked[key].values[place] for place in answer.nonzero().flatten()] == sorted(
                    told, key=asked[key].values.index
                )
            else:
                assert (asked[key].values[answer],) == told if told else answer == UNANSWERED


def test_masks_and_boxes_are_the_outlines_also_when_mirrored(few_read: DataSet) -> None:
    images = GarmentImages(few_read.samples, PARTS, WHOLE, Dice(1))
    mirrored = 0
    for number, sample in enumerate(few_read.samples[:12]):
        plain, thrown = images[number, None], images[number, 3]
        assert plain[0].shape == (3, sample.height, sample.width)
        assert plain[1]["masks"].shape == (len(sample.garments), sample.height, sample.width)
        parts = [PARTS[label - 1] for label in plain[1]["labels"].tolist()]
        assert parts == [garment.part for garment in sample.garments]
        flipped = torch.equal(thrown[1]["masks"], plain[1]["masks"].flip(-1))
        assert flipped != torch.equal(thrown[1]["masks"], plain[1]["masks"])
        mirrored += flipped
        for target in (plain[1], thrown[1]):
            for box, mask in zip(target["boxes"], target["masks"], strict=True):
                down, across = mask.nonzero(as_tuple=True)
                edges = torch.stack([across.min(), down.min(), across.max() + 1, down.max() + 1])
                # The tip of a collar can be thinner than a pixel, and then no pixel is its.
                assert torch.allclose(box, edges.float(), atol=3)
                assert (box - edges).abs().median() < 1
        left, top, right, bottom = plain[1]["boxes"].unbind(dim=1)
        other_side = torch.stack([sample.width - right, top, sample.width - left, bottom], dim=1)
        assert torch.equal(thrown[1]["boxes"], other_side if flipped else plain[1]["boxes"])
    assert 2 <= mirrored <= 10


def test_garments_in_pieces_have_one_mask() -> None:
    rings = (((2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0)), ((12.0, 2.0), (18.0, 2.0), (18.0, 8.0)))
    sample = Sample(1, None, 20, 10, TRAIN, (), ())  # type: ignore[arg-type]
    mask = mask_of(Garment("outer", rings, {}), sample)
    assert mask[3:7, 3:7].all()
    assert mask[3, 15]
    assert not mask[:, 9:11].any()


def test_augmentation_follows_from_seed_epoch_and_sample_alone(few_read: DataSet, taxonomy: Taxonomy) -> None:
    labels = [style.key for style in taxonomy.styles]
    images = StyleImages(few_read.samples, labels, PLAIN, Dice(1))
    again = StyleImages(few_read.samples, labels, PLAIN, Dice(1))
    assert torch.equal(images[3, 2][0], again[3, 2][0])
    assert not torch.equal(images[3, 2][0], images[3, 5][0])
    assert not torch.equal(images[3, 2][0], StyleImages(few_read.samples, labels, PLAIN, Dice(9))[3, 2][0])
    assert torch.equal(images[3, None][0], PLAIN(Image.open(few_read.samples[3].image)))


@pytest.mark.parametrize("world", [1, 3])
def test_ranks_share_all_samples_among_them(world: int, few_read: DataSet, taxonomy: Taxonomy) -> None:
    labels = [style.key for style in taxonomy.styles]
    images = StyleImages(few_read.samples, labels, PLAIN, Dice(1))
    seen: list[int] = []
    plain = 0
    for rank in range(world):
        ranks = Ranks(rank, world, torch.device("cpu"))
        loader, sampler = training_loader(images, ranks, batch_size=4, workers=0, seed=1)
        sampler.set_epoch(4)
        indices = list(sampler)
        assert {epoch for _, epoch in indices} == {4}
        seen += [index for index, _ in indices]
        assert len(loader) == len(indices) // 4
        plain += sum(len(batch) for batch, _ in plain_loader(images, ranks, batch_size=4, workers=0))
    assert set(seen) == set(range(40))
    assert len(seen) - 40 < world
    assert plain == 40


def test_shuffling_changes_with_the_epoch(few_read: DataSet, taxonomy: Taxonomy) -> None:
    images = StyleImages(few_read.samples, [style.key for style in taxonomy.styles], PLAIN, Dice(1))
    orders = []
    for epoch in (1, 2, 1):
        _, sampler = training_loader(images, ALONE, batch_size=4, workers=0, seed=1)
        sampler.set_epoch(epoch)
        orders.append([index for index, _ in sampler])
    assert orders[0] == orders[2] != orders[1]


def test_an_image_of_another_size_than_its_json_says_is_refused(few_read: DataSet) -> None:
    sample = few_read.samples[0]
    other = Sample(sample.id, sample.image, 999, sample.height, TRAIN, sample.garments, sample.styles)
    with pytest.raises(DataError, match="its JSON says 999"):
        StyleImages([other], [*sample.styles], PLAIN, Dice(0))[0, None]
