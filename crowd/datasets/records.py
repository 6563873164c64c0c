"""What a release hands to every file format: one accepted image with its labels, not how it got them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

# The files beside the images of every export: the list of them all with its columns, and the data sheet.
MANIFEST = "manifest.csv"
COLUMNS = ("id", "split", "style", "files", "sha256")
README = "README.md"


class Split(StrEnum):
    """The share of the data set an image is kept for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class ReleasedImage:
    """One image of a release; sizes and coordinates are pixels of the working image.

    `regions`, `attributes` (by region id) and `styles` (main style first) have the forms of the API;
    `working` is the working image's JPEG file, or a function that fetches its bytes.
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

    def image_bytes(self) -> bytes:
        """The working image's bytes; raises OSError if its file is gone."""
        return self.working.read_bytes() if isinstance(self.working, Path) else self.working()
