"""What may come in: the criteria for images, each with its thresholds and what follows beyond them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

E = TypeVar("E", bound=StrEnum)


class Action(StrEnum):
    """What a finding does: nobody looks, it is noted, a person has to look, the image is turned away."""

    IGNORE = "ignore"
    NOTE = "note"
    HOLD = "hold"
    REFUSE = "refuse"


class Covering(StrEnum):
    """What becomes of a face in the working image."""

    NONE = "none"
    MOSAIC = "mosaic"
    CROP = "crop"


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Sides of the upright picture, in pixels."""

    action: Action
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class DpiRule:
    """The resolution that the file names; most name none, which is no finding."""

    action: Action
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class AspectRule:
    """The longer side over the shorter one."""

    action: Action
    most: float


@dataclass(frozen=True, slots=True)
class PlainRule:
    """A finding without a threshold."""

    action: Action


@dataclass(frozen=True, slots=True)
class FaceRule:
    """How faces are covered, and what follows where nobody could look for them."""

    cover: Covering
    found: Action
    unchecked: Action


@dataclass(frozen=True, slots=True)
class WatermarkRule:
    """Strokes side by side, as letters stand, near the top or bottom edge."""

    action: Action
    least_strokes: int


@dataclass(frozen=True, slots=True)
class ShareRule:
    """A share of 1 from which on it is a finding."""

    action: Action
    least: float


@dataclass(frozen=True, slots=True)
class OverlapRule:
    """Separate things in front of a plain ground."""

    action: Action
    least_pieces: int


@dataclass(frozen=True, slots=True)
class IllustrationRule:
    """Few colours (of 4,096) and flat areas (a share of 1); `doubtful` is what follows near the threshold."""

    action: Action
    doubtful: Action
    most_tones: int
    most_tones_grey: int
    least_flat: float
    least_flat_doubtful: float


@dataclass(frozen=True, slots=True)
class FashionRule:
    """Signs of a person or a garment; a picture of a scene without skin or a plain ground has neither."""

    action: Action
    least_skin: float
    least_ground: float
    least_edges: float
    most_grain: float


@dataclass(frozen=True, slots=True)
class WornRule:
    """Signs that nobody wears the garment: a plain ground (share of the edge), and hardly any skin."""

    action: Action
    most_skin: float
    least_ground: float


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """What follows from a trained model's score (0 to 1) for a criterion; `doubtful` below `least`."""

    action: Action
    doubtful: Action
    least: float
    least_doubtful: float


@dataclass(frozen=True, slots=True)
class DuplicateRule:
    """`exact` are the same decoded pixels; `near` differ by so many bits of 64 and hues of 256."""

    exact: Action
    near: Action
    most_bits: int
    most_hue: int


@dataclass(frozen=True, slots=True)
class IntakePolicy:
    """The criteria of intake; `default.yaml` says what each means."""

    size: SizeRule
    dpi: DpiRule
    aspect: AspectRule
    animation: PlainRule
    damage: PlainRule
    faces: FaceRule
    watermark: WatermarkRule
    collage: ShareRule
    cut_off: ShareRule
    overlap: OverlapRule
    illustration: IllustrationRule
    not_fashion: FashionRule
    not_worn: WornRule
    scores: ScoreRule
    duplicates: DuplicateRule
    crop_margins: bool
    proof_required: bool
    least_free_mb: int


def parse_intake(document: object, errors: dict[str, str]) -> IntakePolicy | None:
    """The criteria in a policy's `intake`; what is wrong goes into `errors` by its path."""
    if not isinstance(document, Mapping):
        errors["intake"] = "must hold the criteria of intake"
        return None
    values = _read_fields("intake", IntakePolicy, document, errors)
    return None if values is None else IntakePolicy(**values)


def _read_fields(
    path: str, kind: type[Any], document: Mapping[str, Any], errors: dict[str, str]
) -> dict[str, Any] | None:
    known = {field.name: field.type for field in fields(kind)}
    before = len(errors)
    errors |= {f"{path}.{key}": "is not a field of it" for key in document if key not in known}
    errors |= {f"{path}.{name}": "is missing" for name in known if name not in document}
    values = {
        name: _read(f"{path}.{name}", wanted, document[name], errors)
        for name, wanted in known.items()
        if name in document
    }
    return values if len(errors) == before else None


def _read(path: str, wanted: Any, value: object, errors: dict[str, str]) -> Any:
    if wanted in (Action, Covering):
        if isinstance(value, str) and value in set(wanted):
            return wanted(value)
        errors[path] = f"must be one of {', '.join(wanted)}"
    elif wanted is bool:
        if isinstance(value, bool):
            return value
        errors[path] = "must be true or false"
    elif wanted in (int, float):
        allowed = int if wanted is int else (int, float)
        if isinstance(value, allowed) and not isinstance(value, bool) and 0 <= value < 1e9:
            return value
        errors[path] = "must be a number of at least 0"
    elif isinstance(value, Mapping):
        inner = _read_fields(path, wanted, value, errors)
        return None if inner is None else wanted(**inner)
    else:
        errors[path] = "must hold its action and thresholds"
    return None
