"""What becomes of images, as data: each fate is the script of one image, and its share among all. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto

from crowd.policy import Grade, Stage


class Act(Enum):
    """What somebody does at a stage."""

    ANSWER = auto()
    UNSURE = auto()
    UNUSABLE = auto()
    REJECT = auto()
    SEND_BACK = auto()
    HOLD = auto()
    RELEASE = auto()
    SKIP = auto()
    WITHDRAW = auto()


class Role(StrEnum):
    """A part in a script; a cast says who plays it."""

    SEGMENTER = auto()
    OTHER_SEGMENTER = auto()
    ATTRIBUTER = auto()
    STYLIST = auto()
    SECOND_STYLIST = auto()
    THIRD_STYLIST = auto()
    REVIEWER = auto()
    INSPECTOR = auto()
    OTHER_INSPECTOR = auto()
    IDLER_1 = auto()
    IDLER_2 = auto()
    IDLER_3 = auto()
    IDLER_4 = auto()
    IDLER_5 = auto()


# Who of a grade: copies of the image move everybody on by the same number of places.
Cast = Mapping[Role, tuple[Grade, int]]

_CAST: dict[Role, tuple[Grade, int]] = {
    Role.SEGMENTER: (Grade.GENERAL, 0),
    Role.ATTRIBUTER: (Grade.GENERAL, 1),
    Role.OTHER_SEGMENTER: (Grade.GENERAL, 2),
    Role.STYLIST: (Grade.EXPERT, 0),
    Role.SECOND_STYLIST: (Grade.EXPERT, 1),
    Role.THIRD_STYLIST: (Grade.EXPERT, 2),
    Role.REVIEWER: (Grade.SEMI_EXPERT, 0),
    Role.INSPECTOR: (Grade.INSPECTOR, 0),
    Role.OTHER_INSPECTOR: (Grade.INSPECTOR, 1),
    **{
        role: (Grade.GENERAL, 3 + place)
        for place, role in enumerate((Role.IDLER_1, Role.IDLER_2, Role.IDLER_3, Role.IDLER_4, Role.IDLER_5))
    },
}
CASTS: tuple[Cast, ...] = (
    _CAST,
    _CAST | {Role.REVIEWER: (Grade.REVIEWER, 0)},
    _CAST | {Role.SEGMENTER: (Grade.SEMI_EXPERT, 1), Role.REVIEWER: (Grade.REVIEWER, 0)},
)
# Somebody of a grade that also reviews has drawn the image.
_OWN = _CAST | {Role.SEGMENTER: (Grade.REVIEWER, 0), Role.ATTRIBUTER: (Grade.REVIEWER, 0)}


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody claims the image's task of a stage and does something with it; `blame`: to where it goes."""

    role: Role
    stage: Stage
    act: Act = Act.ANSWER
    blame: Stage | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """A script, its share among all images, and at most how many have it.

    `between`: where on the way from the first to the last image they lie (0 to 1).
    `expired`: the leases in it have run out. `in_turn`: people are taken one after the other, so that
    nobody holds more than a person may. `pinned`: a role that one and the same person plays in every copy.
    """

    name: str
    share: float
    script: tuple[Step, ...] = ()
    between: tuple[float, float] = (0.3, 0.55)
    most: int | None = None
    casts: tuple[Cast, ...] = field(default=CASTS[:1])
    expired: bool = False
    in_turn: bool = False
    pinned: Role | None = None


_SEGMENTED = Step(Role.SEGMENTER, Stage.SEGMENTATION)
_ATTRIBUTED = Step(Role.ATTRIBUTER, Stage.ATTRIBUTES)
_STYLED = Step(Role.STYLIST, Stage.STYLES)
_REVIEWED = Step(Role.REVIEWER, Stage.FIRST_REVIEW)
_INSPECTED = Step(Role.INSPECTOR, Stage.SECOND_REVIEW)
_OTHER_INSPECTED = Step(Role.OTHER_INSPECTOR, Stage.SECOND_REVIEW)
_LABELLED = (_SEGMENTED, _ATTRIBUTED, _STYLED)
_PASSED = (*_LABELLED, _REVIEWED)
_ACCEPTED = (*_PASSED, _INSPECTED, _OTHER_INSPECTED)
_ENDING = (_REVIEWED, _INSPECTED, _OTHER_INSPECTED)


def _but(step: Step, act: Act, blame: Stage | None = None) -> Step:
    return replace(step, act=act, blame=blame)


def _rejected(blame: Stage) -> tuple[Step, ...]:
    return (*_LABELLED, _but(_REVIEWED, Act.REJECT, blame))


_TO_REVIEWER = (
    *_PASSED,
    _but(_INSPECTED, Act.REJECT, Stage.FIRST_REVIEW),
    _but(_OTHER_INSPECTED, Act.REJECT, Stage.FIRST_REVIEW),
)
_TO_ATTRIBUTES = (
    *_PASSED,
    _but(_INSPECTED, Act.REJECT, Stage.ATTRIBUTES),
    _but(_OTHER_INSPECTED, Act.REJECT, Stage.ATTRIBUTES),
)
_UNSETTLED = (
    _SEGMENTED,
    _ATTRIBUTED,
    _but(_STYLED, Act.UNSURE),
    Step(Role.SECOND_STYLIST, Stage.STYLES),
    Step(Role.THIRD_STYLIST, Stage.STYLES),
)
_SKIPPED_BY_FIVE = tuple(
    Step(role, Stage.SEGMENTATION, Act.SKIP)
    for role in (Role.IDLER_1, Role.IDLER_2, Role.IDLER_3, Role.IDLER_4, Role.IDLER_5)
)
_DONE, _NEW = (0.0, 0.5), (0.4, 1.0)
_LOOP = (*_rejected(Stage.STYLES), *((_STYLED, _but(_REVIEWED, Act.REJECT, Stage.STYLES)) * 2))

# Shares are per thousand images or so; the first fate makes up what is missing to the wanted number of tasks.
FATES: tuple[Fate, ...] = (
    Fate("untouched", 700, (), _NEW),
    Fate("attributes ready", 45, (_SEGMENTED,), casts=CASTS),
    Fate("styles ready", 34, (_SEGMENTED, _ATTRIBUTED), casts=CASTS),
    Fate("first review ready", 45, _LABELLED, casts=CASTS),
    Fate("second review ready", 36, _PASSED, casts=CASTS),
    Fate("one seat in", 12, (*_PASSED, _INSPECTED), casts=CASTS),
    Fate("split", 5, (*_PASSED, _INSPECTED, _but(_OTHER_INSPECTED, Act.REJECT, Stage.STYLES))),
    Fate("loop", 1, _LOOP),
    Fate("accepted", 125, _ACCEPTED, _DONE, casts=CASTS),
    Fate("accepted after styles anew", 25, (*_rejected(Stage.STYLES), _STYLED, *_ENDING), _DONE, casts=CASTS),
    Fate("accepted after attributes anew", 12, (*_TO_ATTRIBUTES, _ATTRIBUTED, _STYLED, *_ENDING), _DONE),
    Fate("accepted after votes", 12, (*_UNSETTLED, *_ENDING), _DONE),
    Fate(
        "refused",
        4,
        (
            _but(_SEGMENTED, Act.UNUSABLE),
            Step(Role.OTHER_SEGMENTER, Stage.SEGMENTATION, Act.UNUSABLE),
        ),
        _DONE,
    ),
    Fate("second opinion wanted", 2, (_but(_SEGMENTED, Act.UNUSABLE),)),
    Fate("votes wanted", 2, _UNSETTLED[:3]),
    Fate(
        "segmentation bounced",
        4,
        (
            _SEGMENTED,
            Step(Role.ATTRIBUTER, Stage.ATTRIBUTES, Act.SEND_BACK, Stage.SEGMENTATION),
            _but(_SEGMENTED, Act.RELEASE),
        ),
    ),
    Fate("attributes bounced", 6, (*_rejected(Stage.ATTRIBUTES), _but(_ATTRIBUTED, Act.RELEASE))),
    Fate("styles bounced", 8, (*_rejected(Stage.STYLES), _but(_STYLED, Act.RELEASE))),
    Fate("first review bounced", 2, (*_TO_REVIEWER, _but(_REVIEWED, Act.RELEASE))),
    Fate("attributes reserved", 10, _rejected(Stage.ATTRIBUTES), most=300, in_turn=True),
    Fate("styles reserved", 10, _rejected(Stage.STYLES), most=60, in_turn=True),
    Fate("first review reserved", 2, _TO_REVIEWER, most=20, in_turn=True),
    Fate("segmentation leased", 6, (_but(_SEGMENTED, Act.HOLD),), most=120, in_turn=True),
    Fate("attributes leased", 3, (_SEGMENTED, _but(_ATTRIBUTED, Act.HOLD)), most=60, in_turn=True),
    Fate("styles leased", 2, (*_LABELLED[:2], _but(_STYLED, Act.HOLD)), most=20, in_turn=True),
    Fate("first review leased", 1, (*_LABELLED, _but(_REVIEWED, Act.HOLD)), most=10, in_turn=True),
    Fate("second review leased", 1, (*_PASSED, _but(_INSPECTED, Act.HOLD)), most=2, in_turn=True),
    Fate("segmentation expired", 3, (_but(_SEGMENTED, Act.HOLD),), most=60, expired=True),
    Fate("attributes expired", 2, (_SEGMENTED, _but(_ATTRIBUTED, Act.HOLD)), most=30, expired=True),
    Fate("styles expired", 1, (*_LABELLED[:2], _but(_STYLED, Act.HOLD)), most=10, expired=True),
    Fate("skipped", 3, _SKIPPED_BY_FIVE[:1]),
    Fate("stuck", 1, _SKIPPED_BY_FIVE),
    Fate("withdrawn", 3, (Step(Role.SEGMENTER, Stage.SEGMENTATION, Act.WITHDRAW),), _DONE),
    Fate("withdrawn late", 1, (*_PASSED, Step(Role.INSPECTOR, Stage.SECOND_REVIEW, Act.WITHDRAW)), _DONE),
)

# Made on top of a built size, ahead of everything else in the queue.
OWN_HEAD = Fate("own head", 1, _LABELLED, casts=(_OWN,), pinned=Role.SEGMENTER)
HALF_REVIEWED = Fate("half reviewed", 1, (*_PASSED, _INSPECTED), pinned=Role.INSPECTOR)
VARIANTS: tuple[Fate, ...] = (OWN_HEAD, HALF_REVIEWED)
