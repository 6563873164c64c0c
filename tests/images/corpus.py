"""Files to throw at intake: good ones of every format, mutated ones, and ones made to hurt. Seeded."""

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from PIL import Image

KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
MODES = ("RGB", "L", "P", "1", "CMYK", "RGBA", "I;16")
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def picture(rng: random.Random, kind: str) -> bytes:
    """A sound little picture."""
    size = (rng.randint(1, 60), rng.randint(1, 60))
    mode = rng.choice(MODES)
    try:
        image = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1])).convert(mode)
        out = io.BytesIO()
        image.save(out, kind)
    except (OSError, ValueError):
        out = io.BytesIO()
        Image.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The same with something broken: bytes flipped, numbers exchanged, parts cut, doubled or moved."""
    broken = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 40))):
        place = rng.randrange(len(broken))
        match rng.randrange(6):
            case 0:
                broken[place] = rng.randrange(256)
            case 1:
                number = rng.choice(NUMBERS)
                broken[place : place + 4] = struct.pack(rng.choice("<>") + "I", number)
            case 2:
                del broken[place : place + rng.randint(1, 64)]
            case 3:
                end = place + rng.randint(1, 64)
                broken[place:place] = broken[place:end] * rng.choice((1, 3, 50))
            case 4:
                del broken[place:]
            case _:
                broken[place:place] = rng.randbytes(rng.randint(1, 32))
        if not broken:
            return b"\0"
    return bytes(broken)


def generated(rng: random.Random) -> Iterator[bytes]:
    """For ever: sound pictures, mutated ones, and the first bytes of a format before noise."""
    while True:
        kind = rng.choice(KINDS)
        sound = picture(rng, kind)
        yield rng.choice((sound, mutated(rng, sound), mutated(rng, sound), mutated(rng, sound)))
        if rng.random() < 0.1:
            yield sound[: rng.randint(2, 24)] + rng.randbytes(rng.randint(0, 400))


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IHHIIiiHHII", 99, 0, 0, 54, 40, width, height, 1, 24, 0, 0)
    return b"BM" + head + bytes(80)


def _svg() -> bytes:
    inside = '<image href="file:///etc/passwd"/>'
    return f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>'.encode()


# By name, what makes a file that is made to hurt whoever decodes it.
HOSTILE: dict[str, Callable[[], bytes]] = {
    "png that claims 60,000 x 60,000": lambda: _png(60_000, 60_000, zlib.compress(b"\0" * 99)),
    "png of 5,000 x 5,000 pixels in 73 KB": lambda: _png(5000, 5000, zlib.compress(bytes(5000 * 15_001), 1)),
    "png with 40 MB in a text": lambda: _png(
        2, 2, zlib.compress(b"\0" * 14), zlib.compress(bytes(40_000_000), 1)
    ),
    "gif of 200 frames": lambda: _gif(1000, 200),
    "bmp of one endless line": lambda: _bmp(1 << 30, 1),
    "bmp of negative height": lambda: _bmp(9, -(1 << 31)),
    "tiff that points at itself": lambda: (
        b"II*\0\x08\0\0\0" + struct.pack("<HHHIIHHIII", 2, 256, 4, 1, 9, 257, 4, 1, 9, 8)
    ),
    "zip bomb": lambda: bytes(_bomb()),
    "gzip": lambda: gzip.compress(bytes(9_000_000), 1),
    "svg": _svg,
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n",
    "html": lambda: b"<script>alert(1)</script>",
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "two megabytes of noise": lambda: random.Random(1).randbytes(2_000_000),
}


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, pixels: bytes, text: bytes | None = None) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    told = _chunk(b"zTXt", b"Comment\0\0" + text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + head + told + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _gif(side: int, frames: int) -> bytes:
    out = io.BytesIO()
    Image.new("P", (side, side)).save(out, "GIF")
    data = out.getvalue()
    frame = data[data.index(b",") : -1]
    return data[:-1] + frame * (frames - 1) + b";"


def _bomb() -> bytes:
    data = bytes(1 << 20)
    for _ in range(3):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(8):
                archive.writestr(f"{number}.zip" if data[:2] == b"PK" else f"{number}.jpg", data)
        data = out.getvalue()
    return data
