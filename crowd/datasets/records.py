"""What a release hands to every file format: one accepted image with its labels, not how it got them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from crowd.core.clock import rfc3339
from crowd.policy.targets import Targets

# The files beside the images of every export: the list of them all with its columns, and the data sheet.
MANIFEST = "manifest.csv"
COLUMNS = ("id", "split", "style", "files", "sha256", "training")
README = "README.md"
CROISSANT = "croissant.json"
STATISTICS = "statistics.json"
# Parts of files that are too large to be written at once; gone when the export is whole.
PIECES = ".pieces"


class Split(StrEnum):
    """The share of the data set an image is kept for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Result:
    """What a model achieved that was trained on the release; figures by name."""

    model: str
    split: Split
    figures: Mapping[str, float]
    at: datetime


@dataclass(frozen=True, slots=True)
class Header:
    """What an export says of its release as a whole; `about` is what its makers wrote of it (see `About`).

    `suppliers`: images by what the supplier is called. `targets`: target quantities (see policy.targets) on
    the day it was frozen. `results`: in the order in which they came. `remade`: images that are another
    picture than at first.
    """

    release: str
    created_at: datetime
    layout: str
    revision: int = 1
    withdrawn: int = 0
    suppliers: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    targets: Targets = field(default_factory=Targets)
    results: Sequence[Result] = ()
    remade: int = 0


@dataclass(frozen=True, slots=True)
class ReleasedImage:
    """One image of a release; sizes and coordinates are pixels of the working image.

    `regions`, `attributes` (by region id) and `styles` (main style first) have the forms of the API;
    `working` is the working image's JPEG file, or a function that fetches its bytes; `trainable`: whether the
    contract that the image came under lets models learn from it.
    """

    id: int
    file_name: str
    width: int
    height: int
    created_at: datetime
    split: Split
    regions: list[dict[str, Any]]
    attributes: dict[str, dict[str, Any]]
    styles: list[str]
    working: Path | Callable[[], bytes]
    updated_at: datetime | None = None
    trainable: bool = True

    def image_bytes(self) -> bytes:
        """The working image's bytes; raises OSError if its file is gone."""
        return self.working.read_bytes() if isinstance(self.working, Path) else self.working()


def plain(record: ReleasedImage) -> dict[str, Any]:
    """The image's labels as one plain object, regions with their attributes; nothing is lost."""
    return {
        "id": record.id,
        "file_name": record.file_name,
        "width": record.width,
        "height": record.height,
        "split": record.split.value,
        "created_at": rfc3339(record.created_at),
        "updated_at": rfc3339(record.updated_at or record.created_at),
        "styles": list(record.styles),
        "regions": [
            {
                "id": region["id"],
                "part": region["part"],
                "box": region.get("box"),
                "rings": region["rings"],
                "attributes": record.attributes.get(region["id"], {}),
            }
            for region in record.regions
        ],
    }
