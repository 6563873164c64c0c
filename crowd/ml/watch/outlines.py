"""Which outlines a model doubts: what people drew beside what it found before anybody drew. PURE.

There is no class to be confident about, so what disagrees is told by the overlap (IoU) of what both cover.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crowd.ml.taking import matches, shape_of
from crowd.ml.watch.confidence import Doubt

# A garment that the model finds and nobody drew has to be as sure as that.
SURE_FIND = 0.7
OUTLINE, PART, MISSING = "outline", "part", "missing"


@dataclass(frozen=True, slots=True)
class Judged:
    """One question about a label, its answer `given`, and what is to be said against it, if anything.

    `region` is empty where the question is about the whole image.
    """

    region: str
    question: str
    given: str
    doubt: Doubt | None

    @property
    def is_comparable(self) -> bool:
        """Whether a share of doubts of this question says something beside those of others.

        Wrong parts and forgotten garments are rare by nature: beside them every outline would stand out.
        """
        return self.question not in (PART, MISSING)


def judged_outlines(
    drawn: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], least: float
) -> Iterator[Judged]:
    """Every region that was drawn, and what was found and not drawn; none where the model found nothing.

    `outline`: no find covers it by `least` (IoU, 0 to 1), the margin is 1 - IoU; `part`: the find that does
    is of another part; `missing`: a sure find has no region. The margin of both is the find's score.
    """
    if not found:
        return
    pairs = matches([shape_of(region) for region in found], [shape_of(region) for region in drawn])
    beside = {place: (found[other], overlap) for other, place, overlap in pairs}
    for place, region in enumerate(drawn):
        find, overlap = beside.get(place, (None, 0.0))
        given, proposed = region["part"], find["part"] if find else ""
        far = Doubt(proposed, 1.0 - overlap) if overlap < least else None
        yield Judged(region["id"], OUTLINE, given, far)
        if find is not None and far is None:
            other = Doubt(proposed, float(find["score"])) if proposed != given else None
            yield Judged(region["id"], PART, given, other)
    covered = {other for other, _, _ in pairs}
    for place, find in enumerate(found):
        if find["score"] >= SURE_FIND:
            doubt = None if place in covered else Doubt(find["part"], float(find["score"]))
            yield Judged(find["id"], MISSING, "", doubt)
