"""An outside look at an export: what was found in its files against its own list, the vocabulary, and reason.

It gets labels as a reader of the format sees them, never as they were stored.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from crowd.core.ondisk import DiskMap
from crowd.datasets.check import CheckReport
from crowd.datasets.records import MANIFEST, Split
from crowd.taxonomy import Taxonomy

# What must not be in a delivered image, by the name that Pillow gives it.
METADATA = frozenset(("exif", "xmp", "photoshop"))
# A split's share may differ so much from 80:10:10 (whole looks are never divided).
SHARES = {Split.TRAIN: 0.8, Split.VALIDATION: 0.1, Split.TEST: 0.1}
SHARE_TOLERANCE = 0.05
BALANCED_FROM = 100


@dataclass(frozen=True, slots=True)
class Found:
    """One image as it was read from an export; `labels` has the form of `records.plain`, or part of it.

    `changed`: the image is no longer the delivered one, so its digest is not the listed one.
    """

    where: str
    labels: Mapping[str, Any]
    image: Callable[[], bytes]
    changed: bool = False


def inspect(folder: Path, found: Iterator[Found], taxonomy: Taxonomy, *, whole: bool = True) -> CheckReport:
    """Look at every image `found` in the export in `folder`.

    `whole`: it holds every image with regions; else it may leave some out. Problems are noted by kind: form,
    completeness, range, consistency, balance.
    """
    report = CheckReport()
    listed, seen = _Listed(folder), DiskMap()
    splits: Counter[str] = Counter()
    while (each := _next(found, report)) is not None:
        number = each.labels["id"]
        if seen.add(number):
            splits[each.labels["split"]] += 1
        elif not each.changed:
            report.note("consistency", f"{each.where}: image {number} comes twice")
        for kind, text in (*_image_faults(each, listed), *_label_faults(each.labels, taxonomy, whole=whole)):
            report.note(kind, f"{each.where}: {text}")
    report.images = len(seen) if whole else len(listed)
    for number in listed.numbers() if whole else ():
        if number not in seen:
            report.note("completeness", f"image {number} is listed and not there")
    for text in _imbalance(splits):
        report.note("balance", text)
    return report


def check_list(folder: Path, report: CheckReport) -> None:
    """Note what does not hold in an export's list of files: files that are gone or changed, unequal splits.

    For formats whose files say neither their digest nor, in every layout, their split.
    """
    if not (folder / MANIFEST).is_file():
        report.note("completeness", f"there is no {MANIFEST}")
        return
    splits: Counter[str] = Counter()
    with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            splits[row["split"]] += 1
            for name in row["files"].split(";"):
                path = folder / name
                if not path.is_file():
                    report.note("completeness", f"{name}: is listed and not there")
                elif path.suffix == ".jpg" and _digest(path) != row["sha256"]:
                    report.note("consistency", f"{name}: its image is not the one that is listed")
    for text in _imbalance(splits):
        report.note("balance", text)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Listed:
    """The export's own list of its images; it lies on the disk, as it does in the export."""

    def __init__(self, folder: Path) -> None:
        self._rows = DiskMap()
        with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                self._rows.add(int(row["id"]), f"{row['split']} {row['sha256']}")

    def __len__(self) -> int:
        return len(self._rows)

    def numbers(self) -> Iterator[int]:
        """The ids of its images, in order."""
        return (number for number, _ in self._rows)

    def of(self, number: int) -> tuple[str, str] | None:
        """Split and SHA-256 of the image."""
        told = self._rows.get(number)
        if told is None:
            return None
        split, _, sha256 = told.rpartition(" ")
        return split, sha256


def _next(found: Iterator[Found], report: CheckReport) -> Found | None:
    try:
        return next(found, None)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, SyntaxError) as error:
        report.note("form", f"a file cannot be read any further: {type(error).__name__}: {error}")
        return None


def _image_faults(each: Found, listed: _Listed) -> Iterator[tuple[str, str]]:
    number = each.labels["id"]
    entry = listed.of(number)
    if entry is None:
        yield "completeness", f"image {number} is not listed"
    elif each.labels["split"] != entry[0]:
        yield "consistency", f"lies in {each.labels['split']}, is listed in {entry[0]}"
    try:
        data = each.image()
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image.load()
            size, carried = image.size, {str(name) for name in image.info}
    except (OSError, SyntaxError, ValueError) as error:
        yield "form", f"its image cannot be read: {error}"
        return
    if entry is not None and not each.changed and hashlib.sha256(data).hexdigest() != entry[1]:
        yield "consistency", "its image is not the one that is listed"
    if hidden := carried & METADATA:
        yield "form", f"its image carries {', '.join(sorted(hidden))}"
    told = each.labels.get("width"), each.labels.get("height")
    if None not in told and told != size:
        yield "consistency", f"its image is {size[0]} x {size[1]}, not {told[0]} x {told[1]}"
    for region in each.labels.get("regions", ()):
        yield from _outside(region, size)


def _outside(region: Mapping[str, Any], size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    points = [point for ring in region["rings"] for point in ring]
    if any(not (0 <= x <= size[0] and 0 <= y <= size[1]) for x, y in points):
        yield "range", f"region {region['id']} leaves the image"
    if any(len({tuple(point) for point in ring}) < 3 for ring in region["rings"]) or not region["rings"]:
        yield "form", f"region {region['id']} has an outline of fewer than three points"


def _label_faults(labels: Mapping[str, Any], taxonomy: Taxonomy, *, whole: bool) -> Iterator[tuple[str, str]]:
    if whole and not labels["regions"]:
        yield "completeness", "no garment at all"
    for style in labels.get("styles", ()):
        if not taxonomy.has_style(style):
            yield "range", f"unknown style {style}"
    if len(set(labels.get("styles", ()))) < len(labels.get("styles", ())):
        yield "consistency", "the same style twice"
    for region in labels.get("regions", ()):
        if not taxonomy.has_part(region["part"]):
            yield "range", f"unknown part {region['part']}"
        for key, value in region["attributes"].items():
            yield from _value_faults(region["part"], key, value, taxonomy)


def _value_faults(part: str, key: str, value: Any, taxonomy: Taxonomy) -> Iterator[tuple[str, str]]:
    values = value if isinstance(value, list) else [value]
    said = [each for each in values if each is not None]
    attribute = taxonomy.attribute(key)
    if attribute is None:
        if said:
            yield "range", f"unknown attribute {key}"
        return
    if said and not attribute.applies_to(part):
        yield "consistency", f"{key} does not apply to {part}"
    for each in said:
        if attribute.value(each) is None:
            yield "range", f"unknown value {each} of {key}"


def _imbalance(splits: Counter[str]) -> Iterator[str]:
    total = sum(splits.values())
    if total < BALANCED_FROM:
        return
    for split, share in SHARES.items():
        if abs(splits[split] / total - share) > SHARE_TOLERANCE:
            yield f"{split} has {100 * splits[split] / total:.1f} % of the images, not {100 * share:g} %"
