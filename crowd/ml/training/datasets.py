"""Samples as tensors: garment crops, whole images, images with their garments. Decoded when asked for.

What augmentation throws follows from the seed, the epoch and the sample alone, so a training that is taken
up again goes on as if it had never stopped, however many processes decode.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from crowd.ml.data import DataError, Garment, Sample
from crowd.ml.nets import UNANSWERED, Preprocess
from crowd.ml.training.ranks import Ranks

CROP_MARGIN = 0.1
JITTER = 0.08
LIGHT = 0.12
# Which sample, and the epoch that augmentation is thrown for (None: none is).
Index = tuple[int, int | None]
Box = tuple[float, float, float, float]


class EpochSampler(DistributedSampler[Any]):
    """A seeded shuffling of this rank's share, that hands the epoch on to the data set with each index."""

    def __iter__(self) -> Iterator[Any]:
        return ((index, self.epoch) for index in super().__iter__())


def training_loader(
    data: "Dataset[Any]", ranks: Ranks, *, batch_size: int, workers: int, seed: int, collate: Any = None
) -> tuple["DataLoader[Any]", EpochSampler]:
    """Shuffled batches of this rank's share; set the sampler's epoch before each pass."""
    sampler = EpochSampler(data, ranks.world, ranks.rank, seed=seed)
    loader = DataLoader(
        data,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=ranks.device.type == "cuda",
        persistent_workers=workers > 0,
        # A last batch of one image would leave batch normalisation without a variance.
        drop_last=len(sampler) > batch_size,
        generator=torch.Generator().manual_seed(seed),
    )
    return loader, sampler


def plain_loader(
    data: "Dataset[Any]", ranks: Ranks, *, batch_size: int, workers: int, collate: Any = None
) -> "DataLoader[Any]":
    """This rank's share in order, as it is."""
    share: Any = [(index, None) for index in range(ranks.rank, len(data), ranks.world)]  # type: ignore[arg-type]
    return DataLoader(data, batch_size, sampler=share, num_workers=workers, collate_fn=collate)


def batches(loader: "DataLoader[Any]") -> Iterator[Any]:
    """The batches; an image that another process could not decode is named as if it had been this one."""
    try:
        yield from loader
    except DataError as error:
        raise DataError(error.detail.strip().rsplit("DataError: ", 1)[-1]) from None


@dataclass(frozen=True, slots=True)
class Dice:
    """The dice of augmentation: one throw per sample and epoch."""

    seed: int

    def of(self, index: int, epoch: int | None) -> random.Random | None:
        """A throw, or None where nothing is augmented."""
        return None if epoch is None else random.Random(f"{self.seed}/{epoch}/{index}")


class StyleImages(Dataset[tuple[Tensor, Tensor]]):
    """Whole images squashed to (3, S, S), with (labels,) 1 for each style."""

    def __init__(self, samples: Sequence[Sample], labels: Sequence[str], preprocess: Preprocess, dice: Dice):
        self.samples, self.preprocess, self.dice = samples, preprocess, dice
        self._places = {label: place for place, label in enumerate(labels)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        number, epoch = index
        sample, dice = self.samples[number], self.dice.of(number, epoch)
        whole = (0.0, 0.0, float(sample.width), float(sample.height))
        return self.preprocess(_shown(sample, whole, self.preprocess, dice)), self.target(number)

    def target(self, number: int) -> Tensor:
        """(labels,) float: 1 for each style of the sample."""
        target = torch.zeros(len(self._places))
        for style in self.samples[number].styles:
            target[self._places[style]] = 1.0
        return target


@dataclass(frozen=True, slots=True)
class Asked:
    """An attribute to the data: its values in the net's order, and whether several may hold."""

    values: tuple[str, ...]
    multiple: bool


class GarmentCrops(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Crops of labelled garments squashed to (3, S, S), with an answer to each attribute.

    An attribute of several values that a labelled garment does not name has none of them.
    """

    def __init__(
        self, samples: Sequence[Sample], asked: Mapping[str, Asked], preprocess: Preprocess, dice: Dice
    ):
        self.garments = [
            (sample, garment)
            for sample in samples
            for garment in sample.garments
            if any(key in asked for key in garment.attributes)
        ]
        self.asked, self.preprocess, self.dice = asked, preprocess, dice

    def __len__(self) -> int:
        return len(self.garments)

    def __getitem__(self, index: Index) -> tuple[Tensor, dict[str, Tensor]]:
        number, epoch = index
        sample, garment = self.garments[number]
        image = _shown(sample, _widened(garment.box), self.preprocess, self.dice.of(number, epoch))
        return self.preprocess(image), self.answers(number)

    def answers(self, number: int) -> dict[str, Tensor]:
        """By attribute: of a single one its value's index () or UNANSWERED, of a multiple one (values,)."""
        _, garment = self.garments[number]
        found = {}
        for key, asked in self.asked.items():
            places = [asked.values.index(value) for value in garment.attributes.get(key, ())]
            if asked.multiple:
                found[key] = torch.zeros(len(asked.values), dtype=torch.int64)
                found[key][places] = 1
            else:
                found[key] = torch.tensor(places[0] if places else UNANSWERED)
        return found


class Outfits(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Whole images squashed to (3, S, S), with a seat for one garment of each part.

    `boxes` (parts, 4) px of the squashed image, nan where the part is not worn; `answers` by attribute
    (parts,) or (parts, values) as of GarmentCrops, UNANSWERED on an empty seat; `round` (): the epoch,
    counted from 0.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        asked: Mapping[str, Asked],
        parts: Sequence[str],
        preprocess: Preprocess,
        dice: Dice,
    ):
        self.crops = GarmentCrops(samples, asked, preprocess, dice)
        self.samples, self.parts, self.dice = samples, parts, dice
        first: dict[tuple[int, str], int] = {}
        for number, (sample, garment) in enumerate(self.crops.garments):
            first.setdefault((sample.id, garment.part), number)
        # Of two garments of a part the first is seated; the other one is passed over.
        self._seats = first

    def __len__(self) -> int:
        return len(self.samples)

    def seat(self, place: int, part: str) -> int | None:
        """The number among the crops of the garment that sits there, if one does."""
        return self._seats.get((self.samples[place].id, part))

    def __getitem__(self, index: Index) -> tuple[Tensor, dict[str, Any]]:
        place, epoch = index
        sample, dice = self.samples[place], self.dice.of(place, epoch)
        preprocess = self.crops.preprocess
        size = preprocess.size or 1
        image = preprocess.resize(_lit(_opened(sample, (size, size)), dice))
        boxes = torch.full((len(self.parts), 4), math.nan)
        answers = {
            key: torch.full((len(self.parts), *([len(asked.values)] if asked.multiple else [])), UNANSWERED)
            for key, asked in self.crops.asked.items()
        }
        for row, part in enumerate(self.parts):
            number = self.seat(place, part)
            if number is not None:
                scales = torch.tensor([size / sample.width, size / sample.height] * 2)
                boxes[row] = torch.tensor(self.crops.garments[number][1].box) * scales
                for key, answer in self.crops.answers(number).items():
                    answers[key][row] = answer
        if dice and dice.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            boxes = torch.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], dim=1)
        target = {"boxes": boxes, "answers": answers, "round": torch.tensor((epoch or 1) - 1)}
        return preprocess.normalise(image), target


class GarmentImages(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Images of their own size, (3, H, W) from 0 to 1, with torchvision's targets.

    `boxes` (N, 4) float: left, top, right, bottom; `labels` (N,) int64 from 1 in the order of `parts`;
    `masks` (N, H, W) uint8; `image_id` () int64.
    """

    def __init__(self, samples: Sequence[Sample], parts: Sequence[str], preprocess: Preprocess, dice: Dice):
        self.samples, self.preprocess, self.dice = samples, preprocess, dice
        self._labels = {part: place for place, part in enumerate(parts, 1)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Index) -> tuple[Tensor, dict[str, Tensor]]:
        number, epoch = index
        sample, dice = self.samples[number], self.dice.of(number, epoch)
        image = self.preprocess(_lit(_opened(sample, (sample.width, sample.height)), dice))
        # A garment thinner than a pixel has no mask, and cannot be learnt from.
        drawn = [(garment, mask_of(garment, sample)) for garment in sample.garments]
        kept = [garment for garment, mask in drawn if mask.any()]
        masks = np.stack([mask for _, mask in drawn if mask.any()]) if kept else _no_masks(sample)
        boxes = torch.tensor([garment.box for garment in kept], dtype=torch.float32).reshape(-1, 4)
        if dice and dice.random() < 0.5:
            image, masks = image.flip(-1), masks[:, :, ::-1].copy()
            boxes = torch.stack(
                [sample.width - boxes[:, 2], boxes[:, 1], sample.width - boxes[:, 0], boxes[:, 3]], dim=1
            )
        return image, {
            "boxes": boxes,
            "labels": torch.tensor([self._labels[garment.part] for garment in kept], dtype=torch.int64),
            "masks": torch.from_numpy(masks),
            "image_id": torch.tensor(sample.id),
        }


def as_lists(
    batch: Sequence[tuple[Tensor, dict[str, Tensor]]],
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Images of different sizes stay a list, and so do their targets."""
    return [image for image, _ in batch], [target for _, target in batch]


def rle_of(garment: Garment, sample: Sample) -> dict[str, Any]:
    """The garment's mask as COCO's run-length code: all its outlines together."""
    polygons = [[number for point in ring for number in point] for ring in garment.rings]
    runs = coco_mask.frPyObjects(polygons, sample.height, sample.width)
    merged: dict[str, Any] = coco_mask.merge(runs)
    return merged


def mask_of(garment: Garment, sample: Sample) -> Any:
    """The garment's pixels, (H, W) uint8."""
    return coco_mask.decode(rle_of(garment, sample))


def _no_masks(sample: Sample) -> Any:
    return np.zeros((0, sample.height, sample.width), np.uint8)


def _widened(box: Box, margin: float = CROP_MARGIN) -> Box:
    left, top, right, bottom = box
    across, down = margin * (right - left), margin * (bottom - top)
    return left - across, top - down, right + across, bottom + down


def _shown(sample: Sample, box: Box, preprocess: Preprocess, dice: random.Random | None) -> Image.Image:
    """The box of an image, squashed as the net takes it; trembling, mirrored and lit anew if dice say so."""
    left, top, right, bottom = _shaken(box, dice)
    left, top = max(0.0, left), max(0.0, top)
    right, bottom = min(float(sample.width), right), min(float(sample.height), bottom)
    size = preprocess.size or 1
    # A JPEG can be decoded at an eighth, a quarter or half of its size, which is much faster.
    share = min(1.0, size / max(1.0, min(right - left, bottom - top)))
    wanted = math.ceil(sample.width * share), math.ceil(sample.height * share)
    image = _opened(sample, wanted)
    scale = image.width / sample.width
    edges = (
        left * scale,
        top * scale,
        max(right * scale, left * scale + 1),
        max(bottom * scale, top * scale + 1),
    )
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=_inside(edges, image))
    if dice and dice.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _lit(image, dice)


def _inside(edges: Box, image: Image.Image) -> Box:
    left, top, right, bottom = edges
    right, bottom = min(right, float(image.width)), min(bottom, float(image.height))
    return min(left, right - 1), min(top, bottom - 1), right, bottom


def _shaken(box: Box, dice: random.Random | None) -> Box:
    if dice is None:
        return box
    left, top, right, bottom = box
    across, down = (JITTER * (right - left), JITTER * (bottom - top))
    return (
        left + across * dice.uniform(-1, 1),
        top + down * dice.uniform(-1, 1),
        right + across * dice.uniform(-1, 1),
        bottom + down * dice.uniform(-1, 1),
    )


def _lit(image: Image.Image, dice: random.Random | None) -> Image.Image:
    if dice is None:
        return image
    return ImageEnhance.Brightness(image).enhance(1 + dice.uniform(-LIGHT, LIGHT))


def _opened(sample: Sample, wanted: tuple[int, int]) -> Image.Image:
    """The image in RGB, not smaller than wanted if it can be helped. Raises DataError."""
    try:
        with Image.open(sample.image) as image:
            if image.size != (sample.width, sample.height):
                raise DataError(
                    f"{sample.image}: is {image.width} x {image.height}, "
                    f"its JSON says {sample.width} x {sample.height}"
                )
            image.draft("RGB", wanted)
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{sample.image}: cannot be decoded: {error}") from None
