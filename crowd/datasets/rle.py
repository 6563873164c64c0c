"""Masks as COCO packs them: runs of pixels, column by column, as numbers or in COCO's own letters. PURE."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_PIXELS = 50_000_000
# COCO's letters begin at "0"; each holds five bits, a sixth says that more follow.
FIRST_LETTER, BITS, MORE, NEGATIVE = 48, 5, 0x20, 0x10
MOST_LETTERS_A_RUN = 8


def mask_of(given: Mapping[str, Any], width: int, height: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """The mask (height, width) of an annotation's `segmentation`. Raises ValueError for one that is none."""
    if list(given["size"]) != [height, width]:
        raise ValueError(f"has size {given['size']}, and its image {[height, width]}")
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError(f"has more than {MOST_PIXELS:,} pixels")
    counts = given["counts"]
    runs = _unpacked(counts) if isinstance(counts, str | bytes) else _numbers(counts)
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise ValueError("has runs that do not add up to its pixels")
    # Runs outside of the mask and in it take turns.
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape((height, width), order="F")


def _numbers(counts: Sequence[Any]) -> list[int]:
    if not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
        raise ValueError("has runs that are no whole numbers")
    return list(counts)


def _unpacked(text: str | bytes) -> list[int]:
    """Numbers of five bits a letter, lowest first; from the fourth on, differences to the last but one."""
    runs: list[int] = []
    number = letters = 0
    for code in text.encode() if isinstance(text, str) else text:
        value = code - FIRST_LETTER
        if not 0 <= value < 2 * MORE or letters == MOST_LETTERS_A_RUN:
            raise ValueError("has letters that COCO does not use")
        number |= (value & MORE - 1) << BITS * letters
        letters += 1
        if value & MORE:
            continue
        if value & NEGATIVE:
            number -= 1 << BITS * letters
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = letters = 0
    if letters:
        raise ValueError("ends in the middle of a run")
    return runs
