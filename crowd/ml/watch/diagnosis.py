"""What is wrong, told from figures alone: the guideline's rules (6.5.3) over errors as the data grows. PURE.

Errors are shares from 0 to 1, less is better. A figure that could not be measured is None.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

# Errors that differ by less are the same: half a point is what another seed changes.
SAME = 0.01
# A validation error so far above that of training is learnt by heart.
WIDE_GAP = 0.15
# Of the doubtful labels: how many must have been looked at, and how unlikely it may be that it is chance.
LEAST_LOOKED = 50
SURE = 3.0


class Fault(StrEnum):
    """What the figures say. `QUANTITY`: nothing is wrong, more of the same would help."""

    QUALITY = "quality"
    QUANTITY = "quantity"
    VARIETY = "variety"
    OVERFITTING = "overfitting"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Point:
    """The errors of a net that learnt from so many images; `test` is of the benchmark set."""

    images: int
    train: float
    validation: float
    test: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, in words, and the figures that say so."""

    fault: Fault
    detail: str
    figures: Mapping[str, float]


def diagnose(curve: Sequence[Point]) -> list[Finding]:
    """The faults that a curve shows between its last two amounts of data, the gravest first.

    More data and a test error that does not fall: the labels. One that rises while the validation error
    falls: the data lack variety. A validation error that rises, or stays far above that of training: the
    model learns by heart. A test error that still falls: more data help.
    """
    points = sorted(curve, key=lambda point: point.images)
    if not points:
        return []
    last = points[-1]
    found = []
    if len(points) > 1:
        before = points[-2]
        found += _between(before, last)
    gap = last.validation - last.train
    if gap > WIDE_GAP and not any(each.fault is Fault.OVERFITTING for each in found):
        found.append(
            Finding(
                Fault.OVERFITTING,
                f"the validation error is {gap:.1%} above that of training: look at the model",
                {"gap": gap},
            )
        )
    return found


def _between(before: Point, last: Point) -> list[Finding]:
    fell = before.test - last.test
    validation_fell = before.validation - last.validation
    train_fell = before.train - last.train
    figures = {
        "images_before": float(before.images),
        "images": float(last.images),
        "test_fell": fell,
        "validation_fell": validation_fell,
        "train_fell": train_fell,
    }
    more = f"from {before.images} to {last.images} images"
    if fell >= SAME:
        said = f"{more} the test error fell by {fell:.1%}: more data help"
        return [Finding(Fault.QUANTITY, said, figures)]
    if fell <= -SAME and validation_fell >= SAME:
        said = (
            f"{more} the validation error fell by {validation_fell:.1%}, the test error rose by {-fell:.1%}"
        )
        return [Finding(Fault.VARIETY, f"{said}: the data lack variety", figures)]
    if validation_fell <= -SAME and train_fell >= SAME:
        said = f"{more} the training error fell by {train_fell:.1%}, the validation error rose"
        return [Finding(Fault.OVERFITTING, f"{said}: look at the model", figures)]
    return [
        Finding(Fault.QUALITY, f"{more} the test error did not fall: look at the quality of labels", figures)
    ]


def most_to_blame(curves: Mapping[str, Sequence[Point]]) -> str | None:
    """The subject (an attribute, style or part) whose test error fell least between the last two amounts."""
    changes = {}
    for subject, curve in curves.items():
        points = sorted(curve, key=lambda point: point.images)
        if len(points) > 1:
            changes[subject] = (points[-1].test - points[-2].test, points[-1].test)
    return max(changes, key=lambda subject: (changes[subject], subject)) if changes else None


@dataclass(frozen=True, slots=True)
class Doubted:
    """Of a group's labels: how many were looked at, and how many a model doubts."""

    looked: int
    doubted: int


def stand_out(groups: Mapping[str, Doubted]) -> list[tuple[str, float]]:
    """The groups of which a model doubts clearly more labels than of all others, the clearest first.

    Each is compared with the rest by the two-proportion z-test, one-sided; at least LEAST_LOOKED labels.
    """
    looked = sum(group.looked for group in groups.values())
    doubted = sum(group.doubted for group in groups.values())
    found = []
    for name, group in groups.items():
        others = looked - group.looked
        if group.looked < LEAST_LOOKED or others < LEAST_LOOKED:
            continue
        share, rest = group.doubted / group.looked, (doubted - group.doubted) / others
        pooled = doubted / looked
        spread = math.sqrt(pooled * (1 - pooled) * (1 / group.looked + 1 / others))
        score = (share - rest) / spread if spread else 0.0
        if score > SURE:
            found.append((name, score))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))
