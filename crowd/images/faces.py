"""Faces in a picture: found with OpenCV's cascades where the extra `faces` is installed, and covered.

OpenCV is imported only where a picture is looked at; it sees clean pixels alone, never a stranger's file.
"""

import os
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
# A covered face may uncover another one beside it.
ROUNDS = 3
BLOCKS = 6
# The cascade's frame ends at brow and chin.
WIDER = 0.25

Box = tuple[int, int, int, int]


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


def mosaicked(picture: Image.Image) -> tuple[Image.Image, list[Box]]:
    """The picture with every face in coarse blocks, and where they were. Raises ImportError."""
    covered, boxes = picture, find_faces(picture)
    fresh = boxes
    for _ in range(ROUNDS):
        if not fresh:
            break
        covered = covered.copy() if covered is picture else covered
        for box in fresh:
            cover(covered, box)
        fresh = find_faces(covered)
        boxes += fresh
    return covered, boxes


def cropped_below(picture: Image.Image) -> tuple[Image.Image, list[Box]]:
    """The picture below its lowest face, and where the faces were; mosaicked where too little is left.

    Too little is less than half of the height. Raises ImportError.
    """
    boxes = find_faces(picture)
    lowest = max((bottom for _, _, _, bottom in boxes), default=0)
    if not boxes:
        return picture, []
    if lowest > picture.height / 2:
        return mosaicked(picture)
    below, more = mosaicked(picture.crop((0, lowest, picture.width, picture.height)))
    return below, [
        *boxes,
        *((left, top + lowest, right, bottom + lowest) for left, top, right, bottom in more),
    ]


def cover(picture: Image.Image, box: Box) -> None:
    """Lay coarse blocks over a part (left, top, right, bottom) of the picture."""
    face = picture.crop(box)
    blocks = face.resize((BLOCKS, BLOCKS), Image.Resampling.BOX)
    picture.paste(blocks.resize(face.size, Image.Resampling.NEAREST), box[:2])


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
