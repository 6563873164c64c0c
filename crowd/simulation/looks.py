"""Names, seeds and bytes of drawn images: what every collection of them agrees on. PURE."""

import io

from PIL import Image

LOOK_SIZE = 2
JPEG_QUALITY = 92


def look_name(number: int) -> str:
    """The file name of the image of that number, counted from 1: two shots to a look."""
    look, shot = divmod(number - 1, LOOK_SIZE)
    return f"LOOK_{look + 1:03}_{shot + 1:02}.jpg"


def drawing_seed(seed: int, edition: int, number: int) -> int:
    """The seed of one drawing; another edition gives another picture of the same number."""
    return (seed * 1000 + edition) * 1_000_000 + number


def as_jpeg(image: Image.Image) -> bytes:
    """The image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
