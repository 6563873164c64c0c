"""Images on the line, in memory: their seats, labels and answers, moved by flow.TRANSITIONS.

The same as crowd.tasks.moves does with rows. It knows neither turns nor people's habits.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from crowd.images.models import ImageState
from crowd.policy import Grade, Policy, Stage
from crowd.review.judgements import Told
from crowd.review.policy import AdjudicationRules, FirstReviewRules, SecondReviewRules
from crowd.tasks.flow import JOINT, NEXT, STAGES, Cause, Effect, Move, Outcome, move_for
from crowd.tasks.handover import present_labels
from crowd.tasks.models import Part
from crowd.tasks.moves import feedback_of
from crowd.tasks.rules import (
    Answer,
    AttributeRules,
    Case,
    Judgement,
    Rules,
    SegmentationRules,
    StyleRules,
    check_send_back,
    says_unusable,
)
from crowd.taxonomy import Taxonomy

RULES: Mapping[Stage, Rules] = {
    Stage.SEGMENTATION: SegmentationRules(),
    Stage.ATTRIBUTES: AttributeRules(),
    Stage.STYLES: StyleRules(),
    Stage.FIRST_REVIEW: FirstReviewRules(),
    Stage.SECOND_REVIEW: SecondReviewRules(),
    Stage.ADJUDICATION: AdjudicationRules(),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What the line goes by: policy, taxonomy, and everybody's grade by their number."""

    policy: Policy
    taxonomy: Taxonomy
    grades: Mapping[int, Grade]


@dataclass(slots=True)
class Seat:
    """A task. `done_by`: who has answered it."""

    id: int
    image: "LineImage"
    stage: Stage
    round: int
    cause: Cause | None = None
    disputed: Stage | None = None
    bounced: bool = False
    reserved_for: int | None = None
    excluded: int | None = None
    done_by: int | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labels of a stage as one answer left them; no author: several people's."""

    stage: Stage
    value: Any
    author: int | None


@dataclass(frozen=True, slots=True)
class Moved:
    """What an answer came to."""

    story: list[Told]
    move: Move
    judgement: Judgement


@dataclass(slots=True)
class LineImage:
    """One image on its way through the stages."""

    number: int
    width: int
    height: int
    setting: Setting
    new_id: Callable[[], int]
    round: int = 1
    state: ImageState = ImageState.IN_WORK
    open: list[Seat] = field(default_factory=list)
    done: list[Seat] = field(default_factory=list)
    versions: list[Labelled] = field(default_factory=list)
    story: list[Told] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    parts: dict[int, set[Part]] = field(default_factory=dict)
    bounces: Counter[Stage] = field(default_factory=Counter)

    def labels(self) -> dict[Stage, Any]:
        """The present labels by stage."""
        return present_labels(cast(Any, self.versions))

    def may_sit(self, worker: int, seat: Seat) -> bool:
        """flow.md, "Who may not"."""
        own = Part.LABELLED if STAGES[seat.stage].labels else Part(seat.stage.value)
        if self.parts.get(worker, set()) - {own} or seat.excluded == worker:
            return False
        sat = (each for each in self.done if each.stage is seat.stage and each.round == seat.round)
        return all(each.done_by != worker for each in sat)

    def begin(self) -> None:
        """The first stage opens."""
        self._open_stage(Stage.SEGMENTATION)

    def answer(self, seat: Seat, worker: int, result: object, at: datetime, *, sends_back: bool) -> Moved:
        """Take an answer, and move the image. Raises labels.InvalidResult."""
        case = self._case(seat)
        checked, judgement = _judged(worker, result, case, sends_back=sends_back)
        self._settle(seat, worker, checked, at, sends_back=sends_back)
        move = move_for(seat.stage, seat.cause, judgement.outcome)
        self._apply(seat, worker, move, judgement)
        return Moved(self.story, move, judgement)

    def _case(self, seat: Seat) -> Case:
        policy = self.setting.policy
        return Case(
            stage=seat.stage,
            cause=seat.cause,
            width=self.width,
            height=self.height,
            taxonomy=self.setting.taxonomy,
            policy=policy,
            labels=self.labels(),
            peers=tuple(self._answers(seat.stage, seat.round)) if seat.stage in JOINT else (),
            seats=tuple(self._answers(Stage.SECOND_REVIEW, seat.round)) if seat.cause is Cause.SPLIT else (),
        )

    def _answers(self, stage: Stage, image_round: int) -> Iterator[Answer]:
        for told in self.story:
            if told.stage is not stage or told.round != image_round:
                continue
            if not told.sends_back and not says_unusable(told.result):
                yield Answer(told.worker_id, stage, told.result)

    def _settle(
        self, seat: Seat, worker: int, result: Mapping[str, Any], at: datetime, *, sends_back: bool
    ) -> None:
        self.open.remove(seat)
        self.done.append(seat)
        seat.done_by = worker
        told = Told(
            seat.id, worker, seat.stage, seat.round, result, at, sends_back, seat.cause, seat.disputed
        )
        self.story.append(told)
        if not sends_back:
            labelled = STAGES[seat.stage].labels or seat.cause is Cause.STYLES
            part = Part.LABELLED if labelled else Part(seat.stage.value)
            self.parts.setdefault(worker, set()).add(part)

    def _apply(self, seat: Seat, worker: int, move: Move, judgement: Judgement) -> None:
        """As crowd.tasks.moves.apply; further experts are whoever comes first."""
        if judgement.label is not None:
            stage = judgement.label_stage or seat.stage
            author = None if judgement.settled else worker
            self.versions.append(Labelled(stage, judgement.label, author))
        match move.effect:
            case Effect.WAIT:
                return
            case Effect.OPEN:
                assert move.stage is not None
                self._open_stage(move.stage)
            case Effect.OPEN_SEAT:
                assert move.stage is not None
                self._open(move.stage)
            case Effect.OPEN_NEXT:
                assert seat.disputed is not None
                self.round += 1
                self._open_stage(NEXT[seat.disputed])
            case Effect.BOUNCE | Effect.BOUNCE_OR_HOLD:
                self._reject(move.effect, judgement)
            case Effect.SECOND_OPINION:
                self.open.clear()
                self.round += 1
                self._open(Stage.SEGMENTATION, cause=Cause.SECOND_OPINION, excluded=worker)
            case Effect.ADJUDICATE:
                self._open(Stage.ADJUDICATION, cause=move.cause)
            case Effect.ACCEPT:
                self.state = ImageState.ACCEPTED
            case Effect.REFUSE:
                self.state = ImageState.REFUSED
            case Effect.HOLD:
                self.state = ImageState.HELD

    def _reject(self, effect: Effect, judgement: Judgement) -> None:
        target = judgement.target
        assert target is not None
        pieces = [feedback_of(answer) for answer in judgement.rejections]
        self.open.clear()
        if self.bounces[target] + 1 < self.setting.policy.bounce_cap:
            self.bounces[target] += 1
            self.feedback += pieces
            self.round += 1
            self._open(target, bounced=True, reserved_for=self._reserved(target))
        elif effect is Effect.BOUNCE_OR_HOLD:
            self.state = ImageState.HELD
        else:
            self.feedback += pieces
            self._open(Stage.ADJUDICATION, cause=Cause.LOOP, disputed=target)

    def _reserved(self, target: Stage) -> int | None:
        """The author of what is sent back, if they may still do the stage."""
        author = self._author(target)
        policy = self.setting.policy
        if author is None or policy.reserve_seconds == 0:
            return None
        return author if self.setting.grades[author] in policy.stages[target].grades else None

    def _author(self, target: Stage) -> int | None:
        if STAGES[target].labels:
            return next((each.author for each in reversed(self.versions) if each.stage is target), None)
        return next((told.worker_id for told in reversed(self.story) if told.stage is target), None)

    def _open_stage(self, stage: Stage) -> None:
        for _ in range(STAGES[stage].seats):
            self._open(stage)

    def _open(self, stage: Stage, **told: Any) -> None:
        self.open.append(Seat(self.new_id(), self, stage, self.round, **told))


def _judged(worker: int, result: object, case: Case, *, sends_back: bool) -> tuple[dict[str, Any], Judgement]:
    """As crowd.tasks.answers._judge."""
    rules = RULES[case.stage]
    checked = check_send_back(result, case) if sends_back else rules.check(result, case)
    answer = Answer(worker, case.stage, checked)
    if sends_back:
        move_to = Stage(checked["to"])
        return checked, Judgement(Outcome.SENT_BACK, target=move_to, rejections=(answer,))
    return checked, rules.judge(answer, case)
