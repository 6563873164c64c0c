"""The desk in process: claims in flow.md's order, answers judged and scored by the pure rules alone."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from crowd.images.models import ImageState
from crowd.policy import Policy, Stage
from crowd.review.judgements import has_rejections, of_acceptance, of_verdict, of_votes
from crowd.simulation.bots import Action, Release, SendBack, Submit
from crowd.simulation.crew import Persona
from crowd.simulation.line.book import ScoreBook
from crowd.simulation.line.images import LineImage, Moved, Seat, Setting
from crowd.simulation.line.turns import Picture
from crowd.tasks.flow import REVIEWING, Cause, Effect, downstream_first
from crowd.tasks.handover import labels_view
from crowd.taxonomy import Taxonomy
from crowd.tiers.score import Evidence

START = datetime(2026, 1, 5, tzinfo=UTC)
# Scores age by judged answers; the clock only tells one day from the next.
TICK = timedelta(seconds=1)

_BLIND = frozenset(
    {(Stage.SECOND_REVIEW, None), (Stage.ADJUDICATION, Cause.SPLIT), (Stage.ADJUDICATION, Cause.STYLES)}
)


@dataclass(slots=True)
class Hall:
    """Everything of a run that the service would keep in its database."""

    setting: Setting
    book: ScoreBook
    images: list[LineImage]
    now: datetime = START
    _held: dict[int, Seat] = field(default_factory=dict)
    _working: dict[int, LineImage] = field(default_factory=dict)

    @classmethod
    def open(
        cls, policy: Policy, taxonomy: Taxonomy, members: Iterable[Persona], shown: Sequence[Picture]
    ) -> "Hall":
        """A hall in which the first stage of every picture is open, in their order."""
        setting = Setting(policy, taxonomy, {member.number: member.grade for member in members})
        count = itertools.count(1)
        images = [
            LineImage(each.number, each.width, each.height, setting, lambda: next(count)) for each in shown
        ]
        for image in images:
            image.begin()
        hall = cls(setting, ScoreBook(policy), images)
        hall._working = {image.number: image for image in images}
        return hall

    def claim(self, member: Persona, only: Stage | None) -> Mapping[str, Any] | None:
        """See Desk.claim: reserved work, then what was bounced, then what is new, downstream first."""
        stages = self.setting.policy.stages_for(member.grade)
        wanted = [stage for stage in downstream_first(stages) if only in (None, stage)]
        seat = min(
            (seat for image in self._working.values() for seat in image.open if seat.stage in wanted),
            key=lambda seat: self._rank(member.number, seat, wanted),
            default=None,
        )
        if seat is None or self._rank(member.number, seat, wanted)[0] == _NEVER:
            return None
        self._held[seat.id] = seat
        return _view(seat)

    def answer(self, member: Persona, task: Mapping[str, Any], action: Action) -> None:
        """See Desk.answer."""
        seat = self._held.pop(task["id"])
        self.now += TICK
        match action:
            case Release():
                # Given back by whom it waited for, it is anyone's.
                seat.reserved_for = None
                return
            case SendBack(to, reasons):
                sent = {"to": str(to), "reasons": reasons}
                moved = seat.image.answer(seat, member.number, sent, self.now, sends_back=True)
            case Submit(result):
                moved = seat.image.answer(seat, member.number, result, self.now, sends_back=False)
        self.book.record(self._evidence(seat, moved))
        if seat.image.state is not ImageState.IN_WORK:
            del self._working[seat.image.number]

    def _rank(self, worker: int, seat: Seat, wanted: Sequence[Stage]) -> tuple[int, int, int]:
        if seat.reserved_for is not None:
            return (0, 0, seat.id) if seat.reserved_for == worker else (_NEVER, 0, 0)
        if not seat.image.may_sit(worker, seat):
            return _NEVER, 0, 0
        return (1 if seat.bounced else 2), wanted.index(seat.stage), seat.id

    def _evidence(self, seat: Seat, moved: Moved) -> list[Evidence]:
        """As crowd.review.evidence.note_move."""
        judgement, story, number = moved.judgement, moved.story, seat.image.number
        found: list[Evidence] = []
        if judgement.settled:
            found += of_votes(story, judgement.label["styles"], number)
        elif seat.stage in REVIEWING and seat.cause is not Cause.STYLES:
            found += of_verdict(story, number, self.setting.policy)
        if moved.move.effect is Effect.ACCEPT and has_rejections(story):
            found += of_acceptance(story, None, self.now, number, self.setting.policy)
        return found


_NEVER = 3


def _view(seat: Seat) -> dict[str, Any]:
    """The task as its holder gets it: see crowd.tasks.handover.task_view."""
    image = seat.image
    first = seat.round == 1 and seat.stage is not Stage.ADJUDICATION
    view: dict[str, Any] = {
        "id": seat.id,
        "stage": seat.stage.value,
        "round": seat.round,
        "image": {"id": image.number, "width": image.width, "height": image.height},
        "labels": labels_view(image.labels()),
        "feedback": [] if first or (seat.stage, seat.cause) in _BLIND else list(image.feedback),
    }
    if seat.stage is Stage.ADJUDICATION:
        view["cause"] = seat.cause and seat.cause.value
        view["disputed"] = seat.disputed and seat.disputed.value
    return view
