"""The truths of all images of a run: drawn ones as they were drawn, the others thrown from the seed."""

import threading
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from crowd.simulation.truth import Truth, seeded_truth
from crowd.simulation.vocabulary import Vocabulary


class Truths:
    """Truth by image id. `by_name` holds those of files that somebody else hands in."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        seed: int,
        by_name: Mapping[str, Truth] | None = None,
        unusable: Mapping[str, str] | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self._seed = seed
        self._by_name = by_name or {}
        self._unusable = unusable or {}
        self._lock = threading.Lock()
        self._known: dict[int, Truth] = {}
        self._refusals: dict[int, str] = {}
        # Which image showed a picture first, by what the server calls the picture.
        self._shown: dict[str, int] = {}
        self._looked_at: set[int] = set()

    def remember(self, image_id: int, truth: Truth) -> None:
        """An image was handed in whose truth is known, unless it speaks of what the taxonomy lacks."""
        if truth.fits(self.vocabulary):
            with self._lock:
                self._known[image_id] = truth

    def recognise(self, image_id: int, file_name: str) -> None:
        """An image was found under this name."""
        name = PurePosixPath(file_name).name
        if name in self._by_name:
            self.remember(image_id, self._by_name[name])
        elif self._unusable.get(name) in self.vocabulary.unusable:
            with self._lock:
                self._refusals[image_id] = self._unusable[name]

    def of(self, image: Mapping[str, Any], look: Callable[[], str] | None = None) -> Truth:
        """The truth of an image with `id`, `width` and `height` (pixels).

        `look`: the name of its picture. Another number with the same picture has the same truth.
        """
        if look is not None and image["id"] not in self._looked_at:
            self._recognise_picture(image, look())
        with self._lock:
            known = self._known.get(image["id"])
            if known is None:
                refusal = self._refusals.get(image["id"])
                size = image["width"], image["height"]
                known = seeded_truth(self.vocabulary, self._seed, image["id"], *size, refusal)
                self._known[image["id"]] = known
            return known

    def _recognise_picture(self, image: Mapping[str, Any], picture: str) -> None:
        with self._lock:
            first = self._shown.setdefault(picture, image["id"])
            self._looked_at.add(image["id"])
        if first != image["id"]:
            truth = self.of({**image, "id": first})
            with self._lock:
                self._known[image["id"]] = truth
