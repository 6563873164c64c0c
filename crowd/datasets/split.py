"""The 80:10:10 split: by look, so that one outfit is never on two sides, and even within each style. PURE."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

from crowd.datasets.records import Split

PERCENT: Mapping[Split, int] = {Split.TRAIN: 80, Split.VALIDATION: 10, Split.TEST: 10}

# Suppliers number the pictures of one look: PREFIX_NNN_MM.jpg is picture MM of look PREFIX_NNN.
_NUMBERED = re.compile(r"(?P<look>.+_\d+)_\d{1,3}\.[^.]+")


def look_of(image_id: int, file_name: str, supplier_id: int = 0) -> int:
    """A 64-bit number that the images of one look share; an image whose name tells of none is its own look.

    Each supplier numbers for itself: what two of them call alike are two looks.
    A number takes a third of a name's memory, and a chance encounter only keeps two looks together.
    """
    name = unicodedata.normalize("NFC", file_name).casefold()
    numbered = _NUMBERED.fullmatch(name)
    look = f"look {supplier_id} {numbered['look']}" if numbered else f"image {image_id}"
    return int.from_bytes(hashlib.blake2b(look.encode(errors="replace"), digest_size=8).digest())


def split_looks(images: Iterable[tuple[int, str | None]]) -> dict[int, Split]:
    """The share of each look, from (look, main style) of every image; the order of looks does not matter.

    Each style is divided 80:10:10 as nearly as whole looks allow, and what one style leaves over the next
    one makes good, so that the whole is too. A look counts to the style of its first image.
    """
    sizes: dict[int, int] = {}
    styles: dict[int, str] = {}
    for look, style in images:
        sizes[look] = sizes.get(look, 0) + 1
        styles.setdefault(look, style or "")
    strata: dict[str, list[int]] = defaultdict(list)
    for look, style in styles.items():
        strata[style].append(look)
    shares: dict[int, Split] = {}
    # In hundredths of an image: whole numbers add up the same everywhere.
    wanting = dict.fromkeys(PERCENT, 0)
    for style in sorted(strata, key=lambda name: (sum(sizes[look] for look in strata[name]), name)):
        looks = strata[style]
        for split, percent in PERCENT.items():
            wanting[split] += percent * sum(sizes[look] for look in looks)
        # Large looks first, while there is room; among equals the number itself is as good as chance.
        for look in sorted(looks, key=lambda look: (-sizes[look], look)):
            neediest = max(PERCENT, key=lambda split: wanting[split])
            shares[look] = neediest
            wanting[neediest] -= 100 * sizes[look]
    return shares
