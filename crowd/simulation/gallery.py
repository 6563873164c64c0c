"""Sample images on disk for the demo: real photographs, drawn garments, and what is true of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crowd.simulation.drawing import draw
from crowd.simulation.looks import as_jpeg, drawing_seed, look_name
from crowd.simulation.run import Knowledge
from crowd.simulation.samples import sample_photographs
from crowd.simulation.truth import Truth

# Neither shows anybody dressed.
UNUSABLE_PHOTOGRAPHS = {"china.jpg": "not_fashion", "flower.jpg": "not_fashion"}


@dataclass(frozen=True, slots=True)
class Gallery:
    """A folder for photographs, one for drawings, and a file with the drawings' truths."""

    root: Path

    @property
    def photographs(self) -> Path:
        """Where the photographs lie."""
        return self.root / "photos"

    @property
    def drawings(self) -> Path:
        """Where the drawings lie."""
        return self.root / "drawings"

    def write_photographs(self) -> int:
        """Write those that installed packages bring along; returns how many there are."""
        self.photographs.mkdir(parents=True, exist_ok=True)
        written = 0
        for name, data in sample_photographs():
            _write(self.photographs / name, data)
            written += 1
        return written

    def write_drawings(self, count: int, seed: int, on_progress: Callable[[int], None]) -> int:
        """Draw what is missing of `count` garment images; returns how many were drawn now."""
        self.drawings.mkdir(parents=True, exist_ok=True)
        drawn = 0
        for number in range(1, count + 1):
            path = self.drawings / look_name(number)
            if path.exists():
                continue
            picture = draw(drawing_seed(seed, 0, number))
            # The truth is written first: a picture without it would never get one.
            _write(self._truth_file(path.name), json.dumps(picture.truth).encode())
            _write(path, as_jpeg(picture.image))
            drawn += 1
            on_progress(drawn)
        return drawn

    def knowledge(self) -> Knowledge:
        """What is known of all images here."""
        truths = {path.stem: Truth.read(json.loads(path.read_text())) for path in self._truths.glob("*.json")}
        return Knowledge(truths, UNUSABLE_PHOTOGRAPHS)

    @property
    def _truths(self) -> Path:
        return self.root / "truths"

    def _truth_file(self, name: str) -> Path:
        self._truths.mkdir(exist_ok=True)
        return self._truths / f"{name}.json"


def _write(path: Path, data: bytes) -> None:
    """Written aside and renamed, so that an interrupted run leaves no half of a file."""
    if path.exists() and path.read_bytes() == data:
        return
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(data)
    aside.replace(path)
