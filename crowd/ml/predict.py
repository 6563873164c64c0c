"""A registered model at work: working images in, candidates in the API's form out. Knows no database.

Decoding (`prepare`) is for threads and holds the lock of the interpreter as little as Pillow lets it; the net
runs in one thread. What a net says becomes candidates by keys of the taxonomy; a class that the taxonomy
lacks, or that does not go with the part, is not proposed.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import structlog
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from crowd.ml.card import Card
from crowd.ml.outlines import rings_of
from crowd.ml.pace import Pace
from crowd.ml.pending import Wanted
from crowd.ml.seating import boxes_of, seats_of
from crowd.ml.weights import WeightsError, load_net
from crowd.policy import Stage
from crowd.tasks.flow import STAGES
from crowd.tasks.labels import InvalidResult, check_segmentation
from crowd.taxonomy import Taxonomy

log = structlog.get_logger(__name__)

# Left, top, right, bottom.
Box = tuple[float, float, float, float]

# So many values of an attribute, and styles, are kept of a ranking.
MOST_VALUES = 5
# Below this a detector's find is left out; of overlapping ones of a part it keeps the best by itself.
LEAST_SCORE = 0.3
MOST_REGIONS = 8
MASK_THRESHOLD = 0.5
# Units (images or crops) of a batch to begin with, by kind of device; halved whenever memory runs out.
FIRST_BATCH = {"cpu": 32, "cuda": 256}
FIRST_BATCH_OF_IMAGES = {"cpu": 2, "cuda": 16}


class ModelUnusable(Exception):
    """A registered model cannot be loaded here; the message says why."""


class ImageUnusable(Exception):
    """One working image cannot be predicted; the message says why. It says nothing of any other."""


@dataclass(frozen=True, slots=True)
class Look:
    """Pixels (H, W, 3) uint8 of a whole image, and which garments to read there: boxes (parts, 4) px."""

    pixels: Any
    boxes: Any


@dataclass(frozen=True, slots=True)
class Ready:
    """A task whose units are decoded: one (H, W, 3) uint8 for the image or for each region, or Looks."""

    wanted: Wanted
    units: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Launched:
    """What a net says of tasks with so many units each, batch by batch, maybe not known yet."""

    said: Sequence[Any]
    counts: Sequence[int]


class Predictor:
    """One model on one device. `batch`: how many units it takes at once, as far as is known."""

    def __init__(
        self, net: nn.Module, card: Card, taxonomy: Taxonomy, device: str, batch: int | None = None
    ) -> None:
        self.card = card
        self.taxonomy = taxonomy
        self.device = torch.device(device)
        first = FIRST_BATCH_OF_IMAGES if self.takes_lists else FIRST_BATCH
        self.batch = batch or first.get(self.device.type, 32)
        # A GPU is told what to do ahead of time, so that here nobody waits for it, and nothing can be timed.
        self._pace = None if batch or self.device.type != "cpu" else Pace(self.batch)
        # Images come with their pixels side by side, and convolutions like that best.
        self.net = net.to(memory_format=torch.channels_last).to(self.device).eval()  # type: ignore[call-overload]
        self._mean, self._scale = _normaliser(card, self.device)

    @property
    def takes_lists(self) -> bool:
        """Whether the net takes images as they are, in a list, and scales them by itself."""
        return self.card.stage is Stage.SEGMENTATION

    @property
    def seats_garments(self) -> bool:
        """Whether the net reads a garment of each part at once, told where they are on the whole image."""
        return bool(self.card.parts)

    def check(self) -> None:
        """Have the net look at a grey image with a garment of each part. Raises ModelUnusable.

        A net that says something else than its card tells would fail at every task.
        """
        inputs = self.card.inputs
        box = [0.0, 0.0, float(inputs.width), float(inputs.height)]
        regions = [{"id": part.key, "part": part.key, "box": box} for part in self.taxonomy.parts]
        wanted = Wanted(0, 0, b"", inputs.width, inputs.height, regions)
        grey = Image.new("RGB", (inputs.width, inputs.height), (128, 128, 128))
        try:
            (answers,) = self.collect(self.launch([Ready(wanted, self._units(grey, wanted))]))
            self.candidates(wanted, answers)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise ModelUnusable(f"what the net says is not what its card tells: {why}") from error

    def is_enough(self, wanted: Wanted, side: int) -> bool:
        """Whether a copy of the working image whose longer side is `side` px shows the net all that it sees.

        The net sees its units at their size: a copy that need not be enlarged for any of them is as good.
        """
        if self.takes_lists:
            return False
        boxes = self._boxes(wanted)
        share = side / max(wanted.width, wanted.height)
        return bool(boxes) and share < 1.0 and self._room(boxes) * share >= 1.0

    def prepare(self, wanted: Wanted, path: Path) -> Ready:
        """Decode what the net needs of a task's working image. Any thread may. Raises ImageUnusable."""
        try:
            with Image.open(path) as image:
                if image.size != (wanted.width, wanted.height):
                    raise ImageUnusable(f"the working image is {image.size[0]} x {image.size[1]} px")
                return Ready(wanted, self._units(image, wanted))
        except FileNotFoundError:
            raise ImageUnusable("the working image is not there") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ImageUnusable(f"the working image cannot be decoded: {error}") from None

    def prepare_small(self, wanted: Wanted, path: Path) -> Ready | None:
        """The same of a smaller copy; None where it is not there, or not what `is_enough` was asked about."""
        try:
            with Image.open(path) as image:
                width, height = image.size
                is_alike = abs(height - width * wanted.height / wanted.width) <= 1
                if is_alike and self.is_enough(wanted, max(width, height)):
                    return Ready(wanted, self._units(image, wanted))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            # The working image will tell what is the matter, if anything is.
            pass
        return None

    def launch(self, ready: Sequence[Ready]) -> Launched:
        """Have the net see every unit, on a GPU without waiting for what it says."""
        units = [unit for each in ready for unit in each.units]
        said: list[Any] = []
        seen = 0
        while seen < len(units):
            part, count = self._try(units[seen:])
            said.append(part)
            seen += count
        return Launched(said, [len(each.units) for each in ready])

    def collect(self, launched: Launched) -> list[list[Any]]:
        """What the net said of each task's units, in their order; any thread may."""
        answers = [answer for part in launched.said for answer in _rows(part)]
        found, start = [], 0
        for count in launched.counts:
            found.append(answers[start : start + count])
            start += count
        return found

    def candidates(self, wanted: Wanted, answers: Sequence[Any]) -> dict[str, Any]:
        """The candidates of one task from what the net said of its units; any thread may."""
        match self.card.stage:
            case Stage.SEGMENTATION:
                return {"regions": self._regions(wanted, answers[0])}
            case Stage.ATTRIBUTES:
                by_region = self._seated(wanted, answers) if self.seats_garments else answers
                return {
                    "regions": {
                        region["id"]: self._attributes(region["part"], answer)
                        for region, answer in zip(wanted.regions, by_region, strict=True)
                    }
                }
            case _:
                return {"styles": self._styles(answers[0])}

    def _units(self, image: Image.Image, wanted: Wanted) -> list[Any]:
        if self.takes_lists:
            return [np.array(image.convert("RGB"))]
        inputs = self.card.inputs
        boxes = self._boxes(wanted)
        if not boxes:
            return []
        # A JPEG can be decoded at an eighth, a quarter or half of its size, which is much faster.
        share = 1.0 / max(self._room(boxes), 1.0)
        image.draft("RGB", (math.ceil(wanted.width * share), math.ceil(wanted.height * share)))
        # Converting what is RGB already would copy it.
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        units = [_squashed(rgb, box, wanted, (inputs.width, inputs.height)) for box in boxes]
        return self._looks(units[0], wanted) if self.seats_garments else units

    def _looks(self, pixels: Any, wanted: Wanted) -> list[Look]:
        inputs = self.card.inputs
        scale = (inputs.width / wanted.width, inputs.height / wanted.height)
        return [Look(pixels, boxes) for boxes in boxes_of(wanted.regions, self.card.parts, scale)]

    def _seated(self, wanted: Wanted, answers: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
        """What was said of each region, by attribute; nothing of a part that the net does not know."""
        return [
            {} if seat is None else {key: said[seat.row] for key, said in answers[seat.look].items()}
            for seat in seats_of(wanted.regions, self.card.parts)
        ]

    def _boxes(self, wanted: Wanted) -> list[Box]:
        """What the net sees of an image, in px of the working image."""
        if self.card.inputs.crop == "region":
            return [_widened(region["box"], self.card.inputs.margin, wanted) for region in wanted.regions]
        return [(0.0, 0.0, float(wanted.width), float(wanted.height))]

    def _room(self, boxes: Sequence[Box]) -> float:
        """How many times smaller the image could be before one of the boxes had to be enlarged."""
        inputs = self.card.inputs
        return min(
            min((right - left) / inputs.width, (low - top) / inputs.height) for left, top, right, low in boxes
        )

    def _try(self, units: Sequence[Any]) -> tuple[Any, int]:
        """What the net says of the first of these units, as many as fit into memory; and how many."""
        while True:
            count = min(self.batch, len(units)) if self._pace is None else self._pace.step(len(units))
            try:
                with self._pace.timed(count) if self._pace else nullcontext():
                    return self._run(units[:count]), count
            except (torch.OutOfMemoryError, MemoryError):
                if count == 1:
                    raise
                self.batch = count // 2
                if self._pace is not None:
                    self._pace.limit(self.batch)
                log.warning("batch_halved", device=str(self.device), batch=self.batch)
            # Outside of the handler: its traceback holds on to the tensors that did not fit.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @torch.inference_mode()
    def _run(self, units: Sequence[Any]) -> Any:
        if self.takes_lists:
            images = [self._moved(torch.from_numpy(unit)).permute(2, 0, 1).float() / 255 for unit in units]
            return self.net(images)
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            if self.seats_garments:
                boxes = self._moved(torch.from_numpy(np.stack([unit.boxes for unit in units])))
                return self.net(self._inputs([unit.pixels for unit in units]), boxes)["attributes"]
            return self.net(self._inputs(units))

    def _inputs(self, units: Sequence[Any]) -> Tensor:
        pixels = self._moved(torch.from_numpy(np.stack(units)))
        return (pixels.permute(0, 3, 1, 2).float() - self._mean) * self._scale

    def _moved(self, pixels: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return pixels.to(self.device)
        return pixels.pin_memory().to(self.device, non_blocking=True)

    def _styles(self, logits: Tensor) -> list[dict[str, Any]]:
        names = cast(Sequence[str], self.card.classes)
        return _ranked(zip(names, logits.sigmoid().tolist(), strict=True), self.taxonomy.offers_style)

    def _attributes(self, part: str, logits: Mapping[str, Tensor]) -> dict[str, list[dict[str, Any]]]:
        classes = cast(Mapping[str, Sequence[str]], self.card.classes)
        ranked = {}
        for attribute in self.taxonomy.attributes_for(part):
            if attribute.key not in classes or not logits:
                continue
            said = logits[attribute.key]
            scores = said.sigmoid() if attribute.key in self.card.multiple else said.softmax(dim=0)
            sayable = {value.key for value in attribute.offered_for(part)}
            named = zip(classes[attribute.key], scores.tolist(), strict=True)
            ranked[attribute.key] = _ranked(named, sayable.__contains__)
        return ranked

    def _regions(self, wanted: Wanted, answer: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        regions: list[dict[str, Any]] = []
        parts = cast(Sequence[str], self.card.classes)
        for label, score, mask in zip(answer["labels"], answer["scores"], answer["masks"], strict=True):
            part = parts[int(label) - 1]
            if len(regions) == MOST_REGIONS or float(score) < LEAST_SCORE or not self.taxonomy.has_part(part):
                continue
            rings = rings_of((mask[0] >= MASK_THRESHOLD).numpy())
            region = self._checked({"id": f"r{len(regions) + 1}", "part": part, "rings": rings}, wanted)
            if region is not None:
                regions.append({**region, "score": round(float(score), 4)})
        return regions

    def _checked(self, region: dict[str, Any], wanted: Wanted) -> dict[str, Any] | None:
        """The region as an answer would have it; None for one that nobody could submit."""
        try:
            checked = check_segmentation({"regions": [region]}, self.taxonomy, wanted.width, wanted.height)
        except InvalidResult:
            return None
        found: dict[str, Any] = checked["regions"][0]
        return found


def load_predictor(
    path: Path, sha256: bytes, card: Card, taxonomy: Taxonomy, device: str, batch: int | None = None
) -> Predictor:
    """The model of a file in the storage, ready to work. Raises ModelUnusable."""
    assert STAGES[card.stage].labels
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != sha256:
                raise ModelUnusable(f"{path}: the file has changed since it was registered")
        net = load_net(path, card.net, card.options)
        predictor = Predictor(net, card, taxonomy, device, batch)
        predictor.check()
    except OSError as error:
        raise ModelUnusable(f"{path}: {error.strerror or error}") from None
    except WeightsError as error:
        raise ModelUnusable(error.detail) from None
    return predictor


def best_device() -> str:
    """The device to work on: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _normaliser(card: Card, device: torch.device) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(card.inputs.mean, device=device).view(1, 3, 1, 1) * 255
    std = torch.tensor(card.inputs.std, device=device).view(1, 3, 1, 1) * 255
    return mean, 1 / std


def _squashed(image: Image.Image, box: Box, wanted: Wanted, size: tuple[int, int]) -> Any:
    """The box (px of the working image) of an image decoded at some smaller scale, at exactly `size`."""
    if box == (0.0, 0.0, float(wanted.width), float(wanted.height)):
        return _resized(image, size)
    across, down = image.width / wanted.width, image.height / wanted.height
    left, top, right, low = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    right, low = min(max(right, left + 1), float(image.width)), min(max(low, top + 1), float(image.height))
    edges = (max(0.0, min(left, right - 1)), max(0.0, min(top, low - 1)), right, low)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=edges))


def _resized(image: Image.Image, size: tuple[int, int]) -> Any:
    """The whole image at `size`: what Pillow makes of it, but for a grey level, in half the time."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    resized = interpolate(pixels, (size[1], size[0]), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()


def _widened(box: Sequence[float], margin: float, wanted: Wanted) -> Box:
    x, y, width, height = box
    return (
        max(0.0, x - margin * width),
        max(0.0, y - margin * height),
        min(float(wanted.width), x + (1 + margin) * width),
        min(float(wanted.height), y + (1 + margin) * height),
    )


def _rows(said: Any) -> list[Any]:
    """What a net said of a batch, one by one, on the CPU: of each image a tensor, or tensors by name."""
    if isinstance(said, Tensor):
        return list(said.float().cpu())
    if isinstance(said, Mapping):
        on_cpu = {name: value.float().cpu() for name, value in said.items()}
        count = len(next(iter(on_cpu.values())))
        return [{name: value[place] for name, value in on_cpu.items()} for place in range(count)]
    return [{name: value.cpu() for name, value in each.items()} for each in said]


def _ranked(named: Any, is_sayable: Any) -> list[dict[str, Any]]:
    """The best of (name, score) pairs, the likeliest first."""
    pairs = sorted(((score, name) for name, score in named if is_sayable(name)), key=lambda pair: -pair[0])
    return [{"value": name, "score": round(score, 4)} for score, name in pairs[:MOST_VALUES]]
