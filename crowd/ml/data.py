"""Reads a K-Fashion folder as `crowd release export` writes it into samples to learn from. Knows no torch.

Words are read through a taxonomy into its keys, misspellings of the released files included; a word that it
does not know counts as not said, and is counted.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crowd.core.errors import Problem
from crowd.taxonomy import Taxonomy

Point = tuple[float, float]
Ring = tuple[Point, ...]
Values = tuple[str, ...]

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
SPLIT_FOLDERS = {"Training": TRAIN, "Validation": VALIDATION, "Test": TEST}
STYLE_KEYS = ("스타일", "서브스타일")
MANIFEST = "manifest.csv"
# What an export says of its release; see crowd.datasets.exports.
MARKER = ".export.json"
POINT_KEY = re.compile(r"([XY])좌표([1-9][0-9]*)")
MOST_NAMED = 5


class DataError(Problem):
    """The folder is no data set that can be learnt from; the message names the file."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_data_set", detail)


@dataclass(frozen=True, slots=True)
class Garment:
    """One region: its part, outlines in pixels of the image, and value keys by attribute key."""

    part: str
    rings: tuple[Ring, ...]
    attributes: Mapping[str, Values]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of its outlines."""
        across = [x for ring in self.rings for x, _ in ring]
        down = [y for ring in self.rings for _, y in ring]
        return min(across), min(down), max(across), max(down)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its file, size in pixels, split, garments, and style keys, main style first."""

    id: int
    image: Path
    width: int
    height: int
    split: str
    garments: tuple[Garment, ...]
    styles: Values


@dataclass(frozen=True, slots=True)
class DataSet:
    """All samples of a folder by id, and how often it said something the taxonomy has no word for.

    `release`: name and time (RFC 3339) of the release that the folder is an export of, if it is one.
    `barred`: how many of its images models may not learn from, as their contracts say; they are left out.
    `tested`: what the set is called whose images took the place of the test split.
    """

    folder: Path
    samples: tuple[Sample, ...]
    unknown: Counter[str] = field(default_factory=Counter)
    release: tuple[str, str] | None = None
    barred: int = 0
    tested: str | None = None

    @property
    def name(self) -> str:
        """What the set is called: its release, wherever that was exported to, or else the folder."""
        return self.release[0] if self.release else self.folder.name

    def of(self, split: str) -> list[Sample]:
        """The samples of one split."""
        return [sample for sample in self.samples if sample.split == split]

    def tested_on(self, benchmark: "DataSet") -> "DataSet":
        """This set with all images of a benchmark set in the place of its own; no release is like it."""
        test = (replace(sample, split=TEST) for sample in benchmark.samples)
        samples = (*self.of(TRAIN), *self.of(VALIDATION), *test)
        return replace(self, samples=samples, release=None, tested=benchmark.name)

    def called(self, split: str) -> str:
        """A split by name and content: sets of one name differ if any number or label does."""
        name = self.tested if split == TEST and self.tested else self.name
        return f"{name} {split} {self.digest(split)}"

    def digest(self, *splits: str) -> str:
        """Twelve hex digits that the numbers and labels of these splits come to."""
        told = hashlib.blake2b(digest_size=6)
        for sample in sorted((each for each in self.samples if each.split in splits), key=lambda one: one.id):
            garments = [
                (garment.part, garment.rings, sorted(garment.attributes.items()))
                for garment in sample.garments
            ]
            told.update(repr((sample.id, sample.width, sample.height, garments, sample.styles)).encode())
        return told.hexdigest()


def read_folder(
    folder: Path, taxonomy: Taxonomy, progress: Callable[[int], None] = lambda done: None
) -> DataSet:
    """Every image of a K-Fashion folder, in either layout; the guideline's needs `manifest.csv` for splits.

    `progress` is told how many were read. Raises DataError for a folder without images, a file that cannot
    be read, an image that is not there, and a number that comes twice.
    What `manifest.csv` says is not for training is left out, from every split.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    listed, barred = _listed(folder)
    unknown: Counter[str] = Counter()
    samples: dict[int, Sample] = {}
    for path in sorted(folder.rglob("*.json")):
        if not path.stem.isdigit():
            continue
        sample = _read_file(folder, path, listed, taxonomy, unknown)
        if sample.id in barred:
            continue
        if sample.id in samples:
            raise DataError(f"{path}: the number {sample.id} comes twice")
        samples[sample.id] = sample
        progress(len(samples))
    if not samples and barred:
        raise DataError(f"{folder}: models may learn from none of its images, as their contracts say")
    if not samples:
        raise DataError(f"{folder}: holds no K-Fashion files (Training/<style>/<id>.json)")
    ordered = tuple(samples[number] for number in sorted(samples))
    return DataSet(folder, ordered, unknown, _release_of(folder), len(barred))


def _release_of(folder: Path) -> tuple[str, str] | None:
    try:
        told = json.loads((folder / MARKER).read_bytes())
        return str(told["release"]), str(told["created_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _listed(folder: Path) -> tuple[dict[int, str], set[int]]:
    """The split of each image in the export's list, and the images that are not for training."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}, set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["id"]), row["split"], row.get("training")) for row in csv.DictReader(file)]
    except (KeyError, ValueError, TypeError, csv.Error):
        raise DataError(f"{path}: is no list of images with their splits") from None
    return {number: split for number, split, _ in rows}, {number for number, _, may in rows if may == "no"}


def _read_file(
    folder: Path, path: Path, listed: Mapping[int, str], taxonomy: Taxonomy, unknown: Counter[str]
) -> Sample:
    try:
        form = json.loads(path.read_bytes())
        info = form["이미지 정보"]
        detail = form["데이터셋 정보"]["데이터셋 상세설명"]
        number = int(info["이미지 식별자"])
        top = path.relative_to(folder).parts[0]
        split = SPLIT_FOLDERS.get(top) or listed.get(number)
        image = path.with_suffix(".jpg") if top in SPLIT_FOLDERS else path.parent / info["이미지 파일명"]
        sample = Sample(
            number,
            image,
            int(info["이미지 너비"]),
            int(info["이미지 높이"]),
            split or "",
            tuple(_garments(detail, taxonomy, unknown)),
            _styles(detail["라벨링"]["스타일"], taxonomy, unknown),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {type(error).__name__}: {error}") from None
    if sample.split not in SPLITS:
        raise DataError(f"{path}: neither its folder nor {MANIFEST} tells whether it is for training or test")
    if not sample.image.is_file():
        raise DataError(f"{path}: its image {sample.image.name} is not there")
    return sample


def _garments(detail: Mapping[str, Any], taxonomy: Taxonomy, unknown: Counter[str]) -> Iterator[Garment]:
    """The regions of an image. Outlines and labels are two lists; a single label is that of all outlines."""
    for part in taxonomy.released_parts():
        rings = [_ring(entry) for entry in detail["폴리곤좌표"].get(part.released, []) if entry]
        labels = [
            _attributes(entry, part.key, taxonomy, unknown)
            for entry in detail["라벨링"].get(part.released, [])
            if entry
        ]
        if len(labels) == len(rings) > 1:
            yield from (Garment(part.key, (ring,), label) for ring, label in zip(rings, labels, strict=True))
        elif rings and len(labels) <= 1:
            yield Garment(part.key, tuple(rings), labels[0] if labels else {})
        else:
            # Two garments in more than two pieces: which belongs to which is not told.
            yield from (Garment(part.key, (ring,), {}) for ring in rings)


def _ring(entry: Mapping[str, float]) -> Ring:
    axes: dict[str, dict[int, float]] = {"X": {}, "Y": {}}
    for key, value in entry.items():
        if match := POINT_KEY.fullmatch(key):
            axes[match[1]][int(match[2])] = float(value)
    if len(axes["X"]) < 3 or axes["X"].keys() != axes["Y"].keys():
        raise ValueError("a polygon lacks points")
    return tuple((axes["X"][number], axes["Y"][number]) for number in sorted(axes["X"]))


def _attributes(
    entry: Mapping[str, Any], part: str, taxonomy: Taxonomy, unknown: Counter[str]
) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for attribute in taxonomy.attributes_for(part):
        told = entry.get(attribute.released) if attribute.released else None
        words = told if isinstance(told, list) else [told] if told else []
        keys = []
        for word in words:
            value = attribute.spelled(str(word), part)
            if value is None:
                unknown[f"{attribute.key} {word}"] += 1
            else:
                keys.append(value.key)
        if keys:
            found[attribute.key] = tuple(dict.fromkeys(keys))
    return found


def _styles(entries: Iterable[Mapping[str, str]], taxonomy: Taxonomy, unknown: Counter[str]) -> Values:
    keys = []
    for word in (entry[key] for entry in entries for key in STYLE_KEYS if entry.get(key)):
        style = next(
            (style for style in taxonomy.styles if word in (style.released, style.ko, *style.aliases)), None
        )
        if style is None:
            unknown[f"style {word}"] += 1
        else:
            keys.append(style.key)
    return tuple(dict.fromkeys(keys))
