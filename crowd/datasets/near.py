"""Which pictures of a release are nearly the same: pairs of hashes, and looks that become one. PURE."""

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby, pairwise

HASH_BITS = 64
_PLACES = 32


def near_pairs(hashes: Sequence[int], most_bits: int) -> Iterator[tuple[int, int]]:
    """Places (the lower first) of any two 64-bit hashes that differ by so many bits or fewer, maybe twice.

    Cut into two blocks more than may differ, two near hashes have two blocks in common: sorted by each
    choice of two blocks, they lie side by side. So it costs a few sorts, and never a look at all pairs.
    """
    edges = [round(HASH_BITS * cut / (most_bits + 2)) for cut in range(most_bits + 3)]
    blocks = [(1 << end) - (1 << start) for start, end in pairwise(edges)]
    for one, other in combinations(blocks, 2):
        mask = one | other
        keyed = sorted((number & mask) << _PLACES | place for place, number in enumerate(hashes))
        for _, run in groupby(keyed, key=lambda each: each >> _PLACES):
            alike = [each & (1 << _PLACES) - 1 for each in run]
            for left, right in combinations(alike, 2):
                if ((hashes[left] ^ hashes[right]) & (1 << HASH_BITS) - 1).bit_count() <= most_bits:
                    yield left, right


class JoinedLooks:
    """Looks that count as one because pictures of theirs are nearly the same; the smallest stands for all."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}

    def of(self, look: int) -> int:
        """The look that stands for this one."""
        first = look
        while first in self._first:
            first = self._first[first]
        while look != first:
            # Everybody on the way is told, so that the way is short the next time.
            self._first[look], look = first, self._first[look]
        return first

    def join(self, one: int, other: int) -> None:
        """From now on these two, and whatever each stands with, are one look."""
        low, high = sorted((self.of(one), self.of(other)))
        if low != high:
            self._first[high] = low


def most_hue(one: bytes, other: bytes) -> int:
    """By how much two pictures differ in colour where they differ most (256 hues)."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
