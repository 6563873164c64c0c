"""Figures of a release, counted image by image. PURE."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from crowd.datasets.formats.kfashion import Written
from crowd.datasets.formats.kinds import every_value
from crowd.datasets.records import ReleasedImage, Split
from crowd.taxonomy import Match

Size = tuple[int, int]


@dataclass(slots=True)
class Tally:
    """Counts over the images of a release; its size follows the vocabulary, not the images.

    `values`: by attribute (and "style"), how often each key was chosen. `smallest` and `largest`: width and
    height of the images of fewest and most pixels. `points`: of all outlines. `untrainable`: images whose
    contract does not let models learn from them.
    """

    images: int = 0
    untrainable: int = 0
    points: int = 0
    smallest: Size = (0, 0)
    largest: Size = (0, 0)
    regions: Counter[str] = field(default_factory=Counter)
    splits: Counter[Split] = field(default_factory=Counter)
    styles: Counter[tuple[str, Split]] = field(default_factory=Counter)
    second_styles: Counter[str] = field(default_factory=Counter)
    values: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    changed: Counter[Written] = field(default_factory=Counter)

    def add(self, record: ReleasedImage, values: Iterable[Written]) -> None:
        """One image, and how each of its values was written."""
        size = record.width, record.height
        self.smallest = min(self.smallest, size, key=_pixels) if self.images else size
        self.largest = max(self.largest, size, key=_pixels)
        self.images += 1
        self.untrainable += not record.trainable
        self.points += sum(len(ring) for region in record.regions for ring in region["rings"])
        self.splits[record.split] += 1
        self.styles[record.styles[0] if record.styles else "", record.split] += 1
        self.second_styles.update(record.styles[1:])
        self.regions.update(region["part"] for region in record.regions)
        for attribute, _, key in every_value(record):
            self.values[attribute][key] += 1
        for value in values:
            if value.how != Match.EXACT:
                self.changed[value] += 1


def _pixels(size: Size) -> int:
    return size[0] * size[1]
