"""What a model file says of itself: its card, a JSON document in the metadata of a safetensors file. PURE.

Read without torch, so that the web process can take a file in. `docs/models.md` describes the document.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from crowd.policy import Stage
from crowd.tasks.flow import LABELLING
from crowd.taxonomy import Taxonomy

KEY = "crowd"
FITS = ("squash", "pad")
CROPS = ("image", "region")
MOST_HEADER_BYTES = 16 * 1024 * 1024
# Shares of a region's box beyond which a crop is mostly not of it.
MOST_MARGIN = 2.0

Classes: TypeAlias = tuple[str, ...] | Mapping[str, tuple[str, ...]]


class CardError(ValueError):
    """The file is no model of ours; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """How an image becomes the net's input.

    `height` and `width` in pixels; `mean` and `std` of red, green, blue in 0..1. `fit`: to exactly that
    size (squash), or within it, the rest filled with the mean (pad). `crop`: the whole image, or each
    region's box made wider and higher by the share `margin` on every side.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: str
    crop: str
    margin: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How well a model did: the score (0 to 1, more is better) of a measure on a named set."""

    set: str
    measure: str
    score: float


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """The release of ours that it was trained on, and the split that its metrics are of.

    `created_at` (RFC 3339) tells the release from others of its name in other installations.
    """

    name: str
    created_at: str
    split: str


@dataclass(frozen=True, slots=True)
class Card:
    """A model's card. `classes` are keys of the taxonomy in the order of the net's outputs.

    Segmentation: parts (the net's class i + 1). Styles: styles. Attributes: attribute → values, the
    outputs of all attributes one after the other; those in `multiple` can have several values. `parts`: of
    a net that reads a garment of each part at once, these in the order of its seats.
    """

    stage: Stage
    net: str
    options: Mapping[str, Any]
    classes: Classes
    multiple: tuple[str, ...]
    parts: tuple[str, ...]
    inputs: Inputs
    benchmark: Benchmark | None
    metrics: Mapping[str, Any]
    release: TrainedOn | None
    document: Mapping[str, Any]


def read_card(file: IO[bytes]) -> Card:
    """The card of a safetensors file. Raises CardError."""
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= length <= MOST_HEADER_BYTES:
        raise CardError("is no safetensors file")
    header = _document(file.read(length), "is no safetensors file")
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or KEY not in metadata:
        raise CardError(f"has no {KEY!r} in its metadata: was it written by `crowd train`?")
    return parse_card(_document(metadata[KEY], f"holds no JSON under {KEY!r} of its metadata"))


def parse_card(document: object) -> Card:
    """A card from its document. Raises CardError."""
    if not isinstance(document, dict):
        raise CardError("its card is no object")
    try:
        stage = Stage(document["stage"])
        card = Card(
            stage=stage,
            net=_text(document["net"]),
            options=_mapping(document.get("options", {})),
            classes=_classes(stage, document["classes"]),
            multiple=_texts(document.get("multiple", [])),
            parts=_texts(document.get("parts", [])),
            inputs=_inputs(document["inputs"]),
            benchmark=_benchmark(document.get("benchmark")),
            metrics=_mapping(document.get("metrics") or {}),
            release=_release(document.get("release")),
            document=document,
        )
    except KeyError as missing:
        raise CardError(f"its card lacks {missing.args[0]}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise CardError(f"its card does not hold: {error}") from None
    if stage not in LABELLING:
        raise CardError(f"its card is of the stage {stage}, which has no candidates")
    return card


def unknown_classes(card: Card, taxonomy: Taxonomy) -> list[str]:
    """The classes that the taxonomy lacks: these are never proposed."""
    if isinstance(card.classes, Mapping):
        return [
            f"{attribute}: {value}"
            for attribute, values in card.classes.items()
            for value in values
            if (asked := taxonomy.attribute(attribute)) is None or asked.value(value) is None
        ]
    known = taxonomy.has_part if card.stage is Stage.SEGMENTATION else taxonomy.has_style
    return [name for name in card.classes if not known(name)]


def outputs_of(classes: Classes) -> int:
    """How many outputs a classifier of these classes has."""
    return sum(map(len, classes.values())) if isinstance(classes, Mapping) else len(classes)


def _document(text: object, otherwise: str) -> Any:
    """The JSON document of a file that anybody may have written. Raises CardError, saying `otherwise`."""
    if not isinstance(text, str | bytes):
        raise CardError(otherwise)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise CardError(otherwise) from None


def _classes(stage: Stage, given: object) -> Classes:
    if stage is Stage.ATTRIBUTES:
        found = {_text(name): _texts(values) for name, values in _mapping(given).items()}
        if not found or not all(found.values()):
            raise ValueError("classes of attributes are lists of values by attribute")
        return found
    names = _texts(given)
    if not names or len(set(names)) < len(names):
        raise ValueError("classes are a list of different names")
    return names


def _inputs(given: object) -> Inputs:
    fields = _mapping(given)
    height, width = _numbers(fields["size"], 2)
    fit, crop = fields.get("fit", "squash"), fields.get("crop", "image")
    if fit not in FITS or crop not in CROPS:
        raise ValueError(f"inputs.fit is one of {', '.join(FITS)}, inputs.crop one of {', '.join(CROPS)}")
    if not (1 <= height <= 4096 and 1 <= width <= 4096):
        raise ValueError("inputs.size lies outside of 1 to 4096 pixels")
    mean, std = _numbers(fields["mean"], 3), _numbers(fields["std"], 3)
    (margin,) = _numbers([fields.get("margin", 0.0)], 1)
    if min(std) <= 0:
        raise ValueError("inputs.std must be above 0")
    if not 0 <= margin <= MOST_MARGIN:
        raise ValueError(f"inputs.margin lies outside of 0 to {MOST_MARGIN}")
    return Inputs(
        height=int(height),
        width=int(width),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        fit=fit,
        crop=crop,
        margin=margin,
    )


def _benchmark(given: object) -> Benchmark | None:
    if given is None:
        return None
    fields = _mapping(given)
    (score,) = _numbers([fields["score"]], 1)
    if not 0 <= score <= 1:
        raise ValueError("benchmark.score lies outside of 0 to 1")
    return Benchmark(_text(fields["set"]), _text(fields["measure"]), score)


def _release(given: object) -> TrainedOn | None:
    if given is None:
        return None
    fields = _mapping(given)
    return TrainedOn(_text(fields["name"]), _text(fields["created_at"]), _text(fields["split"]))


def _text(given: object) -> str:
    if not isinstance(given, str) or not given or "\0" in given:
        raise ValueError(f"text is needed, not {given!r:.60}")
    return given


def _texts(given: object) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise TypeError(f"a list of names is needed, not {given!r:.60}")
    return tuple(map(_text, given))


def _mapping(given: object) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise TypeError(f"an object is needed, not {given!r:.60}")
    return given


def _numbers(given: object, count: int) -> Sequence[float]:
    if not isinstance(given, list) or len(given) != count:
        raise ValueError(f"{count} numbers are needed, not {given!r:.60}")
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in given):
        raise ValueError(f"{count} numbers are needed, not {given!r:.60}")
    numbers = [float(number) for number in given]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} finite numbers are needed, not {given!r:.60}")
    return numbers
