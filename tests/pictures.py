"""Small pictures for tests, each different."""

import io

from PIL import Image


def jpeg(seed: int, size: tuple[int, int] = (120, 160)) -> bytes:
    """A JPEG file of one colour that depends on `seed`."""
    colour = (seed * 37 % 256, seed * 91 % 256, seed * 53 % 256)
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()
