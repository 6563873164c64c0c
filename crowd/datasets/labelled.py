"""Reads labelled images from other people's files, K-Fashion (either layout) and COCO, in our own words.

Words are read through a taxonomy, with the aliases and misspellings that released files have. What it has no
word for is left out and told. PURE but for reading the files.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crowd.core.ondisk import files_below
from crowd.datasets.rle import mask_of
from crowd.ml.outlines import rings_of
from crowd.taxonomy import Part, Taxonomy

POINT_KEY = re.compile(r"([XY])좌표([1-9][0-9]*)")
STYLE_KEYS = ("스타일", "서브스타일")
SPLIT_FOLDERS = frozenset(("Training", "Validation", "Test"))
UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    ArithmeticError,
    RecursionError,
)


class Unreadable(Exception):
    """A file is not what it should be; the message says how."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image file with its labels in the forms of the API; `width` and `height` are those they refer to.

    `told`: what was left out, or had to be guessed.
    """

    where: str
    image: Path
    file_name: str
    width: int
    height: int
    regions: list[dict[str, Any]]
    attributes: dict[str, dict[str, Any]]
    styles: list[str]
    told: list[str] = field(default_factory=list)


Reader = Callable[[Path, Taxonomy], Iterator[Labelled | Unreadable]]


def read_kfashion(path: Path, taxonomy: Taxonomy) -> Iterator[Labelled | Unreadable]:
    """Every JSON file below the folder with its image; a file that cannot be read comes as Unreadable."""
    for where in files_below(path):
        file = path / where
        if not (file.suffix == ".json" and file.stem.isdigit()):
            continue
        try:
            yield _kfashion(file, where, taxonomy)
        except UNREADABLE as error:
            yield Unreadable(f"{where}: {type(error).__name__}: {error}")


def read_coco(path: Path, taxonomy: Taxonomy) -> Iterator[Labelled | Unreadable]:
    """Every image of the instances files at `path`, a file of them or a folder with some."""
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    for file in files:
        try:
            form = json.loads(file.read_bytes())
            if not isinstance(form, dict) or not {"images", "annotations", "categories"} <= set(form):
                continue
            parts = {each["id"]: _part(each, taxonomy) for each in form["categories"]}
            annotations: dict[Any, list[Any]] = {}
            for each in form["annotations"]:
                annotations.setdefault(each["image_id"], []).append(each)
            images = list(form["images"])
        except UNREADABLE as error:
            yield Unreadable(f"{file.name}: {type(error).__name__}: {error}")
            continue
        for image in images:
            try:
                yield _coco(file, image, annotations.get(image["id"], []), parts, taxonomy)
            except UNREADABLE as error:
                yield Unreadable(f"{file.name}: {str(image)[:80]}: {type(error).__name__}: {error}")


READERS: Mapping[str, Reader] = {"kfashion": read_kfashion, "coco": read_coco}


def _kfashion(file: Path, where: str, taxonomy: Taxonomy) -> Labelled:
    form = json.loads(file.read_bytes().decode("utf-8-sig"))
    info, detail = form["이미지 정보"], form["데이터셋 정보"]["데이터셋 상세설명"]
    name = str(info["이미지 파일명"])
    told: list[str] = []
    regions: list[dict[str, Any]] = []
    attributes: dict[str, dict[str, Any]] = {}
    for part in taxonomy.released_parts():
        polygons = [_ring(entry) for entry in detail["폴리곤좌표"].get(part.released) or [] if entry]
        labels = list(detail["라벨링"].get(part.released) or [])
        for rings, entry in _paired(part, polygons, labels, told):
            region = f"r{len(regions) + 1}"
            regions.append({"id": region, "part": part.key, "rings": rings})
            attributes[region] = _said_in_korean(entry, part, taxonomy, told)
    return Labelled(
        where,
        _beside(file, name),
        name,
        _side(info["이미지 너비"]),
        _side(info["이미지 높이"]),
        regions,
        attributes,
        _styles(
            [entry[key] for entry in detail["라벨링"]["스타일"] for key in STYLE_KEYS if entry.get(key)],
            taxonomy,
            told,
        ),
        told,
    )


def _beside(file: Path, name: str) -> Path:
    """The image of a JSON file: of its number in the public release's layout, else of the name it tells."""
    for candidate in (
        file.parent / Path(name).name,
        *(file.with_suffix(end) for end in (".jpg", ".jpeg", ".JPG")),
    ):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"its image {name} is not beside it")


def _ring(entry: Mapping[str, float]) -> list[list[float]]:
    """The points of a polygon, keys sorted as numbers. Raises ValueError for a point with one coordinate."""
    axes: dict[str, dict[int, float]] = {"X": {}, "Y": {}}
    for key, value in entry.items():
        if match := POINT_KEY.fullmatch(key):
            axes[match[1]][int(match[2])] = float(value)
    if axes["X"].keys() != axes["Y"].keys():
        raise ValueError("a polygon has points with one coordinate")
    return [[axes["X"][number], axes["Y"][number]] for number in sorted(axes["X"])]


def _paired(
    part: Part, polygons: Sequence[Any], labels: Sequence[Mapping[str, Any]], told: list[str]
) -> Iterator[tuple[list[Any], Mapping[str, Any]]]:
    """Outlines and labels as regions: equally many go one to one, a single label has all outlines."""
    if not polygons:
        if any(labels):
            told.append(f"labels of {part.key} without an outline were left out")
        return
    count = min(max(1, len(labels)), len(polygons))
    if len(labels) > len(polygons):
        told.append(f"{len(labels) - count} labels of {part.key} without an outline were left out")
    if 1 < count < len(polygons):
        told.append(f"{len(polygons)} outlines of {count} regions of {part.key}: the last has the rest")
    for place in range(count):
        end = place + 1 if place < count - 1 else len(polygons)
        yield list(polygons[place:end]), labels[place] if place < len(labels) else {}


def _said_in_korean(
    entry: Mapping[str, Any], part: Part, taxonomy: Taxonomy, told: list[str]
) -> dict[str, Any]:
    known = {
        attribute.released: attribute for attribute in taxonomy.attributes_for(part.key) if attribute.released
    }
    told += [f"{part.key}: unknown key {key}" for key in entry if key not in known]
    said: dict[str, Any] = {}
    for key, attribute in known.items():
        keys = []
        for word in _listed(entry.get(key)):
            value = attribute.spelled(str(word), part.key)
            if value is None:
                told.append(f"{part.key}: {key} {word} is no known value")
            elif value.key not in keys:
                keys.append(value.key)
        _say(said, attribute.key, keys, told, multiple=attribute.multiple)
    return said


def _coco(
    file: Path,
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    parts: Mapping[Any, Part | None],
    taxonomy: Taxonomy,
) -> Labelled:
    told: list[str] = []
    regions: list[dict[str, Any]] = []
    attributes: dict[str, dict[str, Any]] = {}
    for each in annotations:
        part = parts.get(each["category_id"])
        if part is None:
            told.append(f"annotation {each['id']} of no known part was left out")
        elif rings := _rings(each, image, told):
            name = str(each.get("region") or f"r{len(regions) + 1}")
            region = {"id": name, "part": part.key, "rings": rings}
            regions.append({**region, "box": each["drawn_box"]} if each.get("drawn_box") else region)
            attributes[name] = _said_in_keys(each.get("attributes") or {}, part, taxonomy, told)
    return Labelled(
        f"{file.name}: image {image['id']}",
        _coco_image(file, str(image["file_name"])),
        str(image.get("source_name") or image["file_name"]),
        _side(image["width"]),
        _side(image["height"]),
        regions,
        attributes,
        _styles(image.get("styles") or [], taxonomy, told),
        told,
    )


def _coco_image(file: Path, name: str) -> Path:
    """The image, beside the file or in `images/` one folder up; never outside of them."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"the file name {name} leads elsewhere")
    for folder in (file.parent.parent / "images", file.parent / "images", file.parent, file.parent.parent):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"its image {name} is not there")


def _part(category: Mapping[str, Any], taxonomy: Taxonomy) -> Part | None:
    name = str(category["name"]).casefold()
    spellings = ((part, (part.key, part.en, part.ko, part.released or "")) for part in taxonomy.parts)
    return next((part for part, names in spellings if name in (each.casefold() for each in names)), None)


def _rings(
    annotation: Mapping[str, Any], image: Mapping[str, Any], told: list[str]
) -> list[list[list[float]]]:
    """The outlines of an annotation; those of a mask run along its pixels. None for a mask of no use."""
    given = annotation["segmentation"]
    if isinstance(given, list):
        return [_unflat(flat) for flat in given]
    which = f"annotation {annotation['id']} is a mask"
    try:
        rings = rings_of(mask_of(given, int(image["width"]), int(image["height"])))
    except UNREADABLE as error:
        told.append(f"{which} that cannot be read, and was left out: {error}")
        return []
    told.append(f"{which}: its outline was taken" if rings else f"{which} without a piece worth an outline")
    return rings


def _unflat(flat: Sequence[float]) -> list[list[float]]:
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in flat):
        raise ValueError("an outline has points that are no numbers")
    return [[x, y] for x, y in zip(flat[::2], flat[1::2], strict=True)]


def _side(told: Any) -> int:
    """A side of an image, in pixels. Raises ValueError, TypeError or OverflowError for what is none."""
    side = int(told)
    if side < 1:
        raise ValueError(f"an image with a side of {side} pixels")
    return side


def _said_in_keys(
    given: Mapping[str, Any], part: Part, taxonomy: Taxonomy, told: list[str]
) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, value in given.items():
        attribute = taxonomy.attribute(key)
        if attribute is None or not attribute.applies_to(part.key):
            told += [f"{part.key}: {key} does not apply"] if value else []
            continue
        keys = []
        for word in _listed(value):
            found = attribute.value(str(word)) or attribute.spelled(str(word), part.key)
            if found is None:
                told.append(f"{part.key}: {key} {word} is no known value")
            else:
                keys.append(found.key)
        _say(said, key, keys, told, multiple=attribute.multiple)
    return said


def _say(said: dict[str, Any], key: str, keys: list[str], told: list[str], *, multiple: bool) -> None:
    if multiple:
        said[key] = keys
    elif keys:
        said[key] = keys[0]
        told += [f"{key}: of several values the first was taken"] if len(keys) > 1 else []


def _styles(words: Sequence[Any], taxonomy: Taxonomy, told: list[str]) -> list[str]:
    keys: list[str] = []
    for word in words:
        known = (
            style
            for style in taxonomy.styles
            if str(word) in (style.key, style.released, style.ko, *style.aliases)
        )
        style = next(known, None)
        if style is None:
            told.append(f"style {word} is not known")
        elif style.key not in keys:
            keys.append(style.key)
    return keys


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]
