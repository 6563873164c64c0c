"""What a picture shows by simple signs: numbers for the checks, computed with Pillow alone.

The signs tell drawings from photographs by their colours and flat areas (Athitsos and Swain, 1997; Lienhart
and Hartmann, 2002), skin by the rule of Kovač, Peer and Solina (2003), and pictures alike by the hash of
Zauner (2010). Each is a doubt, no proof: what becomes of it is the policy's to say.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from operator import mul
from typing import Any, cast

from PIL import Image, ImageChops, ImageFilter, ImageStat

SIDE = 192
LEAST_SIDE = 8
HASH_SIDE, HASH_KEPT = 32, 8
# A picture with less contrast (standard deviation of 256 greys) has nothing to tell it by.
LEAST_CONTRAST = 4.0
COLOURS_SIDE = 8
INK = 40
SEAM = 14
BACKGROUND = 18
STRIP_SHARE = 0.16
ONE_COLOUR = 32.0
MOST_INK = 0.1
BAND = 12

_COSINES = [
    [math.cos(math.pi * (2 * x + 1) * u / (2 * HASH_SIDE)) for x in range(HASH_SIDE)]
    for u in range(HASH_KEPT)
]


@dataclass(frozen=True, slots=True)
class Signals:
    """The signs of one picture; shares are of 1.

    `phash` is a 64-bit number and `colours` the mean colours (RGB bytes, row by row) of 8 by 8 fields; both
    None for a picture without contrast. `cut_off` is the share of the left or right edge that something in
    front of a plain ground touches, `pieces` how many separate things stand there; both None without one.
    """

    phash: int | None
    colours: bytes | None
    tones: int
    grey: bool
    flat: float
    grain: float
    edges: float
    skin: float
    ground: float
    letters: int
    seam: float
    cut_off: float | None
    pieces: int | None

    def as_json(self) -> dict[str, Any]:
        """The same for JSON: hash and colours in hexadecimal."""
        return asdict(self) | {
            "phash": None if self.phash is None else f"{self.phash:016x}",
            "colours": self.colours.hex() if self.colours else None,
        }


def read_signals(picture: Image.Image) -> Signals:
    """The signs of an upright RGB picture."""
    factor = min(1.0, SIDE / max(picture.size))
    size = (max(LEAST_SIDE, round(picture.width * factor)), max(LEAST_SIDE, round(picture.height * factor)))
    # Averaged, so that the grain of a compressed file does not count as many colours.
    small = picture.resize(size, Image.Resampling.BOX, reducing_gap=1.0)
    grey = small.convert("L")
    sharp = _sharp(picture) if min(picture.size) >= LEAST_SIDE else grey
    front, ground = _front(small)
    plain = ground > 0.55
    return Signals(
        phash=perceptual_hash(grey),
        colours=field_colours(small) if _contrast(grey) >= LEAST_CONTRAST else None,
        tones=_tones(small),
        grey=_is_grey(small),
        flat=_flat(sharp),
        grain=_grain(sharp),
        edges=_share(grey.filter(ImageFilter.FIND_EDGES).crop((1, 1, size[0] - 1, size[1] - 1)), INK),
        skin=_skin(small),
        ground=round(ground, 4),
        letters=_letters(picture),
        seam=round(_seam(grey), 4),
        cut_off=round(_cut_off(front), 4) if plain else None,
        pieces=_pieces(front) if plain else None,
    )


def perceptual_hash(picture: Image.Image) -> int | None:
    """64 bits of how a picture's greys are laid out; None where there is no contrast to lay out."""
    small = picture.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS)
    if _contrast(small) < LEAST_CONTRAST:
        return None
    greys = small.tobytes()
    rows = [greys[start : start + HASH_SIDE] for start in range(0, len(greys), HASH_SIDE)]
    across = [[sum(map(mul, wave, row)) for row in rows] for wave in _COSINES]
    waves = [sum(map(mul, wave, column)) for wave in _COSINES for column in across]
    middle = sorted(waves)[len(waves) // 2]
    bits = 0
    for wave in waves:
        bits = bits << 1 | (wave > middle)
    return bits


def field_colours(picture: Image.Image) -> bytes:
    """The mean colour of each of 8 by 8 fields: 192 bytes."""
    return picture.resize((COLOURS_SIDE, COLOURS_SIDE), Image.Resampling.BOX).tobytes()


def _contrast(grey: Image.Image) -> float:
    return ImageStat.Stat(grey).stddev[0]


def _sharp(picture: Image.Image) -> Image.Image:
    """The middle of the picture in its own pixels, for what scaling would smooth away."""
    width, height = (min(side, 2 * SIDE) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height)).convert("L")


def _tones(small: Image.Image) -> int:
    """How many colours, of 4,096 that are told apart, cover nineteen of twenty pixels."""
    counted = small.point(lambda value: value & 0xF0).getcolors(small.width * small.height) or []
    left = 0.95 * small.width * small.height
    for number, (count, _) in enumerate(sorted(counted, key=lambda each: -each[0]), 1):
        left -= count
        if left <= 0:
            return number
    return len(counted)


def _is_grey(small: Image.Image) -> bool:
    """Whether hardly any colour is in the picture."""
    red, green, blue = (small.getchannel(name) for name in "RGB")
    apart = ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(green, blue))
    return ImageStat.Stat(apart).mean[0] < 3


def _flat(sharp: Image.Image) -> float:
    """The share of the pixels that hardly differ from their neighbours, black and white ones left out."""
    width, height = sharp.size
    here = sharp.crop((0, 0, width - 1, height - 1))
    steps = ImageChops.lighter(
        ImageChops.difference(here, sharp.crop((1, 0, width, height - 1))),
        ImageChops.difference(here, sharp.crop((0, 1, width - 1, height))),
    )
    tinted = here.point(lambda value: 255 if 12 <= value <= 240 else 0)
    counted = tinted.histogram()[255]
    if counted < 0.02 * width * height:
        return 0.0
    smooth = ImageChops.darker(steps.point(lambda value: 255 if value <= 2 else 0), tinted)
    return round(smooth.histogram()[255] / counted, 4)


def _grain(sharp: Image.Image) -> float:
    """How much of the contrast goes from pixel to pixel: near 0 in a smooth picture, near 1 in noise."""
    whole = ImageStat.Stat(sharp).var[0]
    if whole < 1:
        return 0.0
    smooth = ImageStat.Stat(sharp.filter(ImageFilter.BoxBlur(1))).var[0]
    return round(max(0.0, 1 - smooth / whole), 4)


def _share(grey: Image.Image, least: int) -> float:
    histogram = grey.histogram()
    return round(sum(histogram[least:]) / max(1, sum(histogram)), 4)


def _skin(small: Image.Image) -> float:
    red, green, blue = small.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    tests = (
        _above(red, 95),
        _above(green, 40),
        _above(blue, 20),
        _above(ImageChops.subtract(most, least), 15),
        _above(ImageChops.subtract(red, green), 15),
        _above(ImageChops.subtract(red, blue), 0),
    )
    found = tests[0]
    for test in tests[1:]:
        found = ImageChops.darker(found, test)
    return round(ImageStat.Stat(found).mean[0] / 255, 4)


def _above(band: Image.Image, least: int) -> Image.Image:
    return band.point(lambda value: 255 if value > least else 0)


def _front(small: Image.Image) -> tuple[Image.Image, float]:
    """What stands out from the ground (255 there), and the share of the edge that is ground.

    The ground is the most frequent colour along the edge.
    """
    width, height = small.size
    edge = Image.new("RGB", (2 * width + 2 * height, 1))
    for place, box in (
        (0, (0, 0, width, 1)),
        (width, (0, height - 1, width, height)),
        (2 * width, (0, 0, 1, height)),
        (2 * width + height, (width - 1, 0, width, height)),
    ):
        strip = small.crop(box)
        edge.paste(strip if strip.height == 1 else strip.transpose(Image.Transpose.ROTATE_90), (place, 0))
    counted = edge.point(lambda value: value & 0xF0 | 0x08).getcolors(edge.width) or []
    colour = cast(tuple[int, int, int], max(counted)[1])
    front = _distance(small, colour).point(lambda value: 255 if value > BACKGROUND else 0)
    outside = _distance(edge, colour).point(lambda value: 255 if value > BACKGROUND else 0)
    return front, 1 - ImageStat.Stat(outside).mean[0] / 255


def _distance(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    red, green, blue = ImageChops.difference(picture, Image.new("RGB", picture.size, colour)).split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _letters(picture: Image.Image) -> int:
    """How many strokes stand side by side, as letters do, in the best line near the top or bottom edge."""
    width, height = picture.size
    strip = max(1, round(STRIP_SHARE * height))
    wide = min(width, 2 * SIDE)
    size = (wide, max(BAND, round(strip * wide / width)))
    boxes = ((0, 0, width, strip), (0, height - strip, width, height))
    strips = (picture.resize(size, Image.Resampling.BOX, box, reducing_gap=1.0) for box in boxes)
    return max(_letters_in(each.convert("L")) for each in strips)


def _letters_in(strip: Image.Image) -> int:
    negative = ImageChops.invert(strip)
    best = 0
    for each in (strip, negative):
        bright = ImageChops.subtract(each, _opened(each)).point(lambda value: 255 if value > INK else 0)
        if bright.histogram()[255] > MOST_INK * strip.width * strip.height:
            continue  # a texture
        for top in range(0, strip.height - BAND + 1, BAND // 2):
            box = (0, top, strip.width, top + BAND)
            line = bright.crop(box)
            # What is written over a picture has one colour; what is in it has light and shade.
            if line.getbbox() and ImageStat.Stat(strip.crop(box), line).stddev[0] <= ONE_COLOUR:
                best = max(best, _strokes(line))
    return best


def _opened(grey: Image.Image) -> Image.Image:
    """Without bright strokes up to six pixels wide."""
    return _across(_across(grey, ImageChops.darker), ImageChops.lighter)


def _across(grey: Image.Image, choose: Callable[[Image.Image, Image.Image], Image.Image]) -> Image.Image:
    found = grey
    for shift in (-3, -2, -1, 1, 2, 3):
        found = choose(found, ImageChops.offset(grey, shift, 0))
    return found


def _strokes(line: Image.Image) -> int:
    """Strokes and gaps of a letter's width in one line; a texture, whose gaps are all alike, has none."""
    columns = line.resize((line.width, 1), Image.Resampling.BOX).tobytes()
    runs = _runs(value > 24 for value in columns)
    strokes = [length for inked, length in runs if inked]
    gaps = [length for inked, length in runs[1:-1] if not inked]
    if len(strokes) < 4 or any(length > 3 * BAND for length in strokes):
        return 0
    narrow = [gap for gap in gaps if gap <= BAND]
    if len(set(narrow)) < 2 or len(narrow) < 0.7 * len(gaps):
        return 0
    return len(strokes)


def _runs(values: Iterable[bool]) -> list[tuple[bool, int]]:
    runs: list[tuple[bool, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    return runs


def _seam(grey: Image.Image) -> float:
    """How straight the straightest edge from side to side is: the share of its length on one line."""
    return max(_seam_down(grey), _seam_down(grey.transpose(Image.Transpose.ROTATE_90)))


def _seam_down(grey: Image.Image) -> float:
    width, height = grey.size
    left, right = grey.crop((0, 0, width - 2, height)), grey.crop((2, 0, width, height))
    steep = ImageChops.difference(left, right).point(lambda value: 255 if value > SEAM else 0)
    # Averaged down to one row: for each column the share of its pixels with a step there.
    shares = steep.resize((width - 2, 1), Image.Resampling.BOX).tobytes()
    inner = range(round(0.12 * width), round(0.88 * width) - 2)
    found = 0.0
    for x in inner:
        beside = (shares[max(0, x - 5)] + shares[min(width - 3, x + 5)]) / 2
        # A seam is one line; a texture has as many steps left and right of it.
        found = max(found, (shares[x] - beside) / 255)
    return found


def _cut_off(front: Image.Image) -> float:
    width, height = front.size
    sides = [front.crop((x, 0, x + 1, height)) for x in (0, width - 1)]
    return max(ImageStat.Stat(side).mean[0] / 255 for side in sides)


def _pieces(front: Image.Image) -> int:
    """How many things stand apart from each other, of those that cover a twelfth of the widest one or more.

    Told by the columns: two people side by side have a gap of ground between them, one has none.
    """
    columns = front.resize((front.width, 1), Image.Resampling.BOX).tobytes()
    runs = _runs(value > 4 for value in columns)
    filled = _filled(runs, columns)
    if not filled:
        return 0
    return sum(each >= max(filled) / 4 for each in filled)


def _filled(runs: Sequence[tuple[bool, int]], columns: bytes) -> list[int]:
    ends = [0]
    for _, length in runs:
        ends.append(ends[-1] + length)
    return [sum(columns[a:b]) for (a, b), (filled, _) in zip(pairwise(ends), runs, strict=True) if filled]
