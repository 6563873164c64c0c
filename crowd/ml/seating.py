"""Which garments a net reads at one look that has a seat for one garment of each part. PURE."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Seat(NamedTuple):
    """A region's place: at which look at its image, and in which row of that look's boxes and answers."""

    look: int
    row: int


def seats_of(regions: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> list[Seat | None]:
    """The seat of each region; None for one of a part that the net does not know.

    A second garment of a part is read at a second look.
    """
    rows = {part: row for row, part in enumerate(parts)}
    taken: Counter[str] = Counter()
    seats: list[Seat | None] = []
    for region in regions:
        part = region["part"]
        seats.append(Seat(taken[part], rows[part]) if part in rows else None)
        taken[part] += 1
    return seats


def boxes_of(
    regions: Sequence[Mapping[str, Any]], parts: Sequence[str], scale: tuple[float, float]
) -> "list[np.ndarray[Any, np.dtype[np.float32]]]":
    """By look the boxes (parts, 4) left, top, right, bottom in px times `scale`; nan on empty seats."""
    seated = [
        (seat, region["box"])
        for seat, region in zip(seats_of(regions, parts), regions, strict=True)
        if seat is not None
    ]
    looks = 1 + max((seat.look for seat, _ in seated), default=-1)
    boxes = [np.full((len(parts), 4), math.nan, np.float32) for _ in range(looks)]
    across, down = scale
    for seat, (x, y, width, height) in seated:
        boxes[seat.look][seat.row] = (x * across, y * down, (x + width) * across, (y + height) * down)
    return boxes
