"""Faces in a picture: found with OpenCV's cascades where the extra `faces` is installed, and covered.

OpenCV is imported only where a picture is looked at; it sees clean pixels alone, never a stranger's file.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from PIL import Image

# The cascade for profiles finds faces in every fourth dress.
CASCADE = "haarcascade_frontalface_alt2.xml"
# Long side of the picture that is searched, and the smallest face in it, in pixels.
SEARCHED, LEAST = 384, 24
SCALE, NEIGHBOURS = 1.2, 6
# A covered face may uncover another one beside it. What is found in the last rounds becomes one flat block,
# in which nothing can be found any more.
ROUNDS, COARSE_ROUNDS = 12, 3
BLOCKS = 6
# The cascade's frame ends at brow and chin.
WIDER = 0.25

Box = tuple[int, int, int, int]
# The picture as those see it who get it: compressed, for one.
Shown = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True)
class Covered:
    """A picture without its faces, where they were, and how many the detector finds in it even so."""

    picture: Image.Image
    boxes: list[Box]
    left: int


def can_search() -> bool:
    """Whether OpenCV is installed."""
    return find_spec("cv2") is not None


def find_faces(picture: Image.Image) -> list[Box]:
    """Left, top, right and bottom (pixels) of each face in an RGB picture, widened to hair and chin.

    Raises ImportError without OpenCV.
    """
    detector = _detector()
    factor = min(1.0, SEARCHED / max(picture.size))
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    # Averaged down first, then to size: as smooth, in half the time.
    grey = _pixels(picture.convert("L").resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0))
    found = detector.detectMultiScale(
        grey, scaleFactor=SCALE, minNeighbors=NEIGHBOURS, minSize=(LEAST, LEAST)
    )
    boxes = [
        (left / factor, top / factor, (left + width) / factor, (top + height) / factor)
        for left, top, width, height in found
    ]
    return [_widened(box, picture.size) for box in boxes]


def mosaicked(picture: Image.Image, shown: Shown = Image.Image.copy) -> Covered:
    """The picture with every face in coarse blocks, until none is found where it is `shown`.

    What `shown` was asked last is the picture returned. Raises ImportError.
    """
    covered, boxes = picture, []
    fresh = find_faces(shown(picture))
    for number in range(ROUNDS):
        if not fresh:
            break
        covered = covered.copy() if covered is picture else covered
        for box in fresh:
            cover(covered, box, BLOCKS if number < COARSE_ROUNDS else 1)
        boxes += fresh
        fresh = find_faces(shown(covered))
    return Covered(covered, boxes, len(fresh))


def cropped_below(picture: Image.Image, shown: Shown = Image.Image.copy) -> Covered:
    """The picture below its lowest face; mosaicked where too little is left, less than half of the height.

    `shown`: see mosaicked. Raises ImportError.
    """
    boxes = find_faces(shown(picture))
    if not boxes:
        return Covered(picture, [], 0)
    lowest = max(bottom for _, _, _, bottom in boxes)
    if lowest > picture.height / 2:
        return mosaicked(picture, shown)
    below = mosaicked(picture.crop((0, lowest, picture.width, picture.height)), shown)
    more = [(left, top + lowest, right, bottom + lowest) for left, top, right, bottom in below.boxes]
    return Covered(below.picture, boxes + more, below.left)


def cover(picture: Image.Image, box: Box, blocks: int = BLOCKS) -> None:
    """Lay coarse blocks, so many a side, over a part (left, top, right, bottom) of the picture."""
    face = picture.crop(box)
    coarse = face.resize((blocks, blocks), Image.Resampling.BOX)
    picture.paste(coarse.resize(face.size, Image.Resampling.NEAREST), box[:2])


def _widened(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    left, top, right, bottom = box
    x, y = WIDER * (right - left) / 2, WIDER * (bottom - top) / 2
    return (
        max(0, round(left - x)),
        max(0, round(top - y)),
        min(size[0], round(right + x)),
        min(size[1], round(bottom + y)),
    )


def warm_up() -> None:
    """Load what searching needs, before a process limits its memory. Raises ImportError."""
    _detector()


@lru_cache(maxsize=1)
def _detector() -> Any:
    # One thread each: many of them decode at once.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(os.path.join(cv2.data.haarcascades, CASCADE))


def _pixels(grey: Image.Image) -> Any:
    return import_module("numpy").asarray(grey)
