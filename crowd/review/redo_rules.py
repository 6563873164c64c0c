"""Which images of a bad worker or reviewer are done again, and from which stage. PURE."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crowd.policy import Stage
from crowd.tasks.flow import LABELLING, ORDER, Cause


class Fate(StrEnum):
    """What a redo does with an image, and why it leaves one alone.

    `redone`: others have answered since. `waiting`: the stage, or one before it, is open again anyway.
    `held` and `withdrawn` images are an admin's to decide, `refused` ones were so by others.
    `incomplete`: labels that the stage builds on are missing.
    """

    REOPENED = "reopened"
    REDONE = "redone"
    WAITING = "waiting"
    HELD = "held"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that counted: whose, where, and what matters of it. `passes` is None for labels."""

    id: int
    stage: Stage
    round: int
    worker_id: int
    unusable: bool = False
    passes: bool | None = None
    cause: Cause | None = None
    disputed: Stage | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an image stands: its round, the stages that are open, whether it was refused, all its answers.

    `settled`: what keeps a redo from it whatever its answers are.
    """

    round: int
    open_stages: Collection[Stage]
    is_refused: bool
    given: Sequence[Given]
    settled: Fate | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Whose answers are to be done again: those with ids from `first` to `last` at `stages`."""

    worker_id: int
    first: int
    last: int
    stages: Collection[Stage]

    def covers(self, answer: Given) -> bool:
        """Whether the answer is one of them."""
        own = answer.worker_id == self.worker_id and answer.stage in self.stages
        return own and self.first <= answer.id <= self.last


def fate_of(standing: Standing, charge: Charge) -> tuple[Fate, Stage]:
    """What becomes of an image, and the stage that opens (or the earliest that the person answered)."""
    own = [answer for answer in standing.given if charge.covers(answer)]
    earliest = min((answer.stage for answer in own), key=ORDER.__getitem__)
    if standing.settled is not None:
        return standing.settled, earliest
    targets = {target for answer in own for target in _targets(standing, answer)}
    if not targets:
        return (Fate.REFUSED if standing.is_refused else Fate.REDONE), earliest
    target = min(targets, key=ORDER.__getitem__)
    if _comes_again(standing, own, target):
        return Fate.WAITING, target
    return Fate.REOPENED, target


def _targets(standing: Standing, own: Given) -> Iterator[Stage]:
    """The stage at which the image has to go on, if what it is now still rests on this answer."""
    if own.unusable:
        if standing.is_refused:
            yield Stage.SEGMENTATION
        return
    if standing.is_refused:
        return
    if own.stage is Stage.ADJUDICATION:
        target = _settled_by(own)
        if _last_round(standing, target) <= own.round and not _overtaken(standing, own):
            yield target
    elif own.round == _last_round(standing, own.stage) and not _overruled(standing, own):
        yield own.stage


def _settled_by(adjudication: Given) -> Stage:
    if adjudication.cause is Cause.STYLES:
        return Stage.STYLES
    return adjudication.disputed or Stage.SECOND_REVIEW


def _overruled(standing: Standing, own: Given) -> bool:
    """Whether others have settled since what this answer said."""
    cause = Cause.STYLES if own.stage in LABELLING else Cause.SPLIT
    adjudicated = any(
        other.stage is Stage.ADJUDICATION
        and other.cause is cause
        and other.id > own.id
        and other.round == own.round
        and own.stage in (Stage.STYLES, Stage.SECOND_REVIEW)
        for other in standing.given
    )
    return adjudicated or _overtaken(standing, own)


def _overtaken(standing: Standing, own: Given) -> bool:
    """Whether a rejection has done its work: somebody has answered in the round that it began."""
    return own.passes is False and any(
        other.id > own.id and other.round > own.round for other in standing.given
    )


def _last_round(standing: Standing, stage: Stage) -> int:
    return max(
        (each.round for each in standing.given if each.stage is stage and not each.unusable), default=0
    )


def _comes_again(standing: Standing, own: Sequence[Given], target: Stage) -> bool:
    if any(ORDER[stage] < ORDER[target] for stage in standing.open_stages):
        return True
    sits_now = any(answer.stage is target and answer.round == standing.round for answer in own)
    return target in standing.open_stages and not sits_now
