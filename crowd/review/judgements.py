"""What the answers of an image say about each other: verdicts, votes and pre-checks as evidence. PURE.

An image's story is its answers that counted, oldest first. Everything is found at reviews, so that labelling
costs nothing, and nobody piles up passed pre-checks that no review follows. A rejection speaks against
nobody until the image is accepted: only then is it seen whether what it blamed was changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import Any

from shapely import MultiPolygon, Polygon

from crowd.policy import Policy, Stage
from crowd.review.policy import passes, target_of
from crowd.tasks.flow import LABELLING, Cause
from crowd.tasks.rules import Answer, majority_style, says_unusable, settled_styles
from crowd.tiers.score import OF_SCORE, Evidence, Kind, value_of_review

# A redrawn region that shares so much with the rejected one is the same region.
SAME_REGION = 0.95

VERDICTS = (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW, Stage.ADJUDICATION)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that counted."""

    task_id: int
    worker_id: int
    stage: Stage
    round: int
    result: Mapping[str, Any]
    at: datetime
    sends_back: bool = False
    cause: Cause | None = None
    disputed: Stage | None = None

    @property
    def is_verdict(self) -> bool:
        """Whether it gives a score."""
        return self.stage in VERDICTS and "score" in self.result

    @property
    def score(self) -> int:
        """The score of a verdict, 1 to 5."""
        return int(self.result["score"])

    @property
    def passes(self) -> bool:
        """Whether a verdict lets the image through."""
        return passes(self.result)

    @property
    def rejects(self) -> bool:
        """Whether it says no: a send-back, or a verdict of 1 to 3."""
        return self.sends_back or (self.is_verdict and not self.passes)


@dataclass(frozen=True, slots=True)
class Version:
    """Labels of a stage as they stood after the answer at `place` of a story; no author: several people's."""

    value: Any
    place: int
    author: Told | None


Story = Sequence[Told]


def of_verdict(story: Story, image_id: int, policy: Policy) -> list[Evidence]:
    """What the story's last answer, a verdict, says about those whose labels it saw, and about reviewers."""
    verdict = story[-1]
    if verdict.cause is Cause.LOOP:
        return _of_loop(story, image_id, policy) if verdict.rejects else []
    found = [*_of_labels(story, image_id, policy)]
    if verdict.stage is Stage.FIRST_REVIEW:
        found += _of_pre_checks(story, image_id, policy)
    return [*found, *_of_reviewers(story, image_id)]


def of_votes(story: Story, settled: Sequence[str], image_id: int) -> list[Evidence]:
    """What the settled styles say about each of the experts who voted on them in the last answer's round."""
    last = story[-1]
    votes = [
        vote
        for vote in story
        if vote.stage is Stage.STYLES and vote.round == last.round and "styles" in vote.result
    ]
    if len(votes) < 2:
        return []
    return [
        Evidence(
            worker_id=vote.worker_id,
            stage=Stage.STYLES,
            kind=Kind.AGREEMENT,
            value=likeness(vote.result["styles"], settled),
            weight=1.0,
            task_id=vote.task_id,
            image_id=image_id,
            judge_id=last.worker_id if last.stage is Stage.ADJUDICATION else None,
            at=last.at,
        )
        for vote in votes
    ]


def of_acceptance(
    story: Story, since: datetime | None, at: datetime, image_id: int, policy: Policy
) -> list[Evidence]:
    """Which rejections after `since` stand, now that the image is accepted, and what that says of whom.

    A rejection stands when something that it blamed was changed afterwards. Then it speaks against the
    author of what was changed, and for the reviewer; otherwise against nobody but the reviewer.
    """
    found: list[Evidence] = []
    final = versions(story)
    charges = _Charges(story, at, image_id, policy)
    for place, rejection in _undecided(story, since):
        changed = _changed(story, place, final)
        for version in changed:
            found += charges.against(version.author, rejection)
        is_other_review = _is_changed_review(story, place)
        if is_other_review:
            review = _last_review(story, place)
            assert review is not None
            found.append(_bounce(review, 0.0, at, image_id, judge=rejection.worker_id, opens=False))
        stands = bool(changed) or is_other_review
        found += _of_rejecter(story, rejection, stands, at, image_id, policy)
    return [*found, *charges.confirmed(_accepting(story))]


def has_rejections(story: Story) -> bool:
    """Whether anybody ever said no."""
    return any(each.rejects for each in story)


def likeness(one: Sequence[str], other: Sequence[str]) -> float:
    """How much two sets have in common (Jaccard): 0 nothing, 1 all."""
    either = set(one) | set(other)
    return len(set(one) & set(other)) / len(either) if either else 1.0


def same_labels(stage: Stage, one: Any, other: Any) -> bool:
    """Whether two labels of a stage say the same; regions may be drawn a little differently."""
    match stage:
        case Stage.SEGMENTATION:
            return _same_regions(one, other)
        case Stage.ATTRIBUTES:
            return _said(one) == _said(other)
        case _:
            first, second = one["styles"], other["styles"]
            return first[:1] == second[:1] and set(first) == set(second)


def blamed_stages(rejection: Told) -> frozenset[Stage]:
    """The stages that a rejection blames: those it names, else those at fault by the meaning of its score."""
    named = rejection.result.get("to") if rejection.sends_back else rejection.result.get("blame")
    if named:
        return frozenset({Stage(named)})
    meant = {stage for stage, table in OF_SCORE.items() if table[rejection.score - 1] == 0.0}
    if rejection.stage is not Stage.FIRST_REVIEW:
        meant.add(Stage.FIRST_REVIEW)
    return frozenset(meant)


@dataclass(slots=True)
class _Charges:
    """Answers that rejections speak against, each charged with as much as a good one would be credited."""

    story: Story
    at: datetime
    image_id: int
    policy: Policy
    _judges: dict[int, set[int]] = field(default_factory=dict)
    _authors: dict[int, Told] = field(default_factory=dict)

    def against(self, author: Told | None, rejection: Told) -> Iterator[Evidence]:
        """What a rejection that stands says of the author of what was changed."""
        if author is None:
            return
        is_first = author.task_id not in self._judges
        self._authors[author.task_id] = author
        self._judges.setdefault(author.task_id, set()).add(rejection.task_id)
        opens = is_first and not _was_judged(self.story, author, len(self.story))
        yield self._row(author, rejection, opens=opens)

    def confirmed(self, accepting: Sequence[Told]) -> Iterator[Evidence]:
        """What those who accepted the change say of it: as many as a good answer would have had besides."""
        for task_id, author in self._authors.items():
            if author.stage not in OF_SCORE:
                # A good segmentation gets no more than its pre-check.
                continue
            passed = sum(1 for each in _verdicts_on(author, self.story) if _counts(each, author.stage))
            missing = int(self.policy.quality.reviews_sharing) - len(self._judges[task_id]) - passed
            for judge in accepting[: max(missing, 0)]:
                yield self._row(author, judge, opens=False)

    def _row(self, author: Told, judge: Told, *, opens: bool) -> Evidence:
        weight = 1.0 / self.policy.quality.reviews_sharing
        return _bounce(author, 0.0, self.at, self.image_id, judge=judge.worker_id, weight=weight, opens=opens)


def _of_loop(story: Story, image_id: int, policy: Policy) -> list[Evidence]:
    """A third person finds the disputed labels wrong: every rejection of them so far stands."""
    last = story[-1]
    charges = _Charges(story, last.at, image_id, policy)
    found: list[Evidence] = []
    for place, rejection in _undecided(story[:-1], None):
        if last.disputed not in blamed_stages(rejection):
            continue
        version = versions(story[:place]).get(last.disputed) if last.disputed in LABELLING else None
        if version is not None:
            found += charges.against(version.author, rejection)
        found += _of_rejecter(story, rejection, True, last.at, image_id, policy)
    return [*found, *charges.confirmed([last])]


def _undecided(story: Story, since: datetime | None) -> Iterator[tuple[int, Told]]:
    """The rejections after `since` of which it was not decided yet whether they stand, with their places."""
    loops = [place for place, each in enumerate(story) if each.cause is Cause.LOOP and each.rejects]
    for place, each in enumerate(story):
        if not each.rejects or each.cause is Cause.LOOP or (since is not None and each.at <= since):
            continue
        if any(place < loop and story[loop].disputed in blamed_stages(each) for loop in loops):
            continue
        yield place, each


def _accepting(story: Story) -> list[Told]:
    """Whose verdicts let the image through; nobody's when an admin did."""
    last = story[-1]
    if not last.is_verdict or not last.passes:
        return []
    if last.stage is Stage.ADJUDICATION:
        return [last]
    return [each for each in story if each.stage is Stage.SECOND_REVIEW and each.round == last.round]


def _of_labels(story: Story, image_id: int, policy: Policy) -> Iterator[Evidence]:
    verdict = story[-1]
    present = versions(story[:-1])
    for stage in OF_SCORE:
        version = present.get(stage)
        if version is None or version.author is None:
            continue
        counts = _counts(verdict, stage)
        yield Evidence(
            worker_id=version.author.worker_id,
            stage=stage,
            kind=Kind.REVIEW,
            value=value_of_review(stage, verdict.score),
            # What is rejected counts once it stands; the fit of severity wants every score.
            weight=1.0 / policy.quality.reviews_sharing if counts else 0.0,
            task_id=version.author.task_id,
            image_id=image_id,
            judge_id=verdict.worker_id,
            score=verdict.score,
            opens=counts and not _was_judged(story, version.author, len(story) - 1),
            at=verdict.at,
        )


def _of_pre_checks(story: Story, image_id: int, policy: Policy) -> Iterator[Evidence]:
    """The labels that the next stage built on have passed its pre-check; once for each answer."""
    verdict, place = story[-1], len(story) - 1
    present = versions(story[:-1])
    for stage, following in ((Stage.SEGMENTATION, Stage.ATTRIBUTES), (Stage.ATTRIBUTES, Stage.STYLES)):
        version = present.get(stage)
        if version is None or version.author is None or stage in _blamed_by(verdict):
            continue
        if _was_judged(story, version.author, place):
            continue
        checker = present[following].author if following in present else None
        yield Evidence(
            worker_id=version.author.worker_id,
            stage=stage,
            kind=Kind.PRE_CHECK,
            value=1.0,
            weight=policy.quality.pre_check_weight,
            task_id=version.author.task_id,
            image_id=image_id,
            judge_id=checker.worker_id if checker else None,
            opens=not _reviewed_at_once(verdict, stage),
            at=verdict.at,
        )


def _of_reviewers(story: Story, image_id: int) -> Iterator[Evidence]:
    """What the two seats say of each other and of the first review, or a third person of all three."""
    last = story[-1]
    seats = [each for each in story if each.stage is Stage.SECOND_REVIEW and each.round == last.round]
    if last.cause is Cause.SPLIT:
        compared = [(seat, float(last.score)) for seat in seats]
        expert, judge_id = float(last.score), last.worker_id
    elif last.stage is Stage.SECOND_REVIEW and len(seats) == 2 and _agree(*seats):
        one, other = seats
        compared = [(one, float(other.score)), (other, float(one.score))]
        expert, judge_id = fmean((one.score, other.score)), None
    else:
        return
    review = _last_review(story, len(story) - 1)
    if review is not None and review.passes:
        compared.append((review, expert))
    for each, experts in compared:
        yield Evidence(
            worker_id=each.worker_id,
            stage=each.stage,
            kind=Kind.AGREEMENT,
            value=float(each.passes == passes({"score": experts})),
            weight=1.0,
            task_id=each.task_id,
            image_id=image_id,
            judge_id=judge_id,
            score=each.score,
            against=experts,
            at=last.at,
        )


def _of_rejecter(
    story: Story, rejection: Told, stands: bool, at: datetime, image_id: int, policy: Policy
) -> Iterator[Evidence]:
    if rejection.sends_back:
        if not stands:
            weight = policy.quality.pre_check_weight
            yield _bounce(rejection, 0.0, at, image_id, weight=weight, opens=False)
        return
    if rejection.stage is Stage.SECOND_REVIEW:
        # The seats were compared with each other, or with a third person, when that was decided.
        if not stands:
            yield _bounce(rejection, 0.0, at, image_id, opens=False)
        return
    against = None
    if rejection.stage is Stage.FIRST_REVIEW:
        against = float(rejection.score) if stands else _accepting_score(story)
    yield _bounce(rejection, float(stands), at, image_id, score=rejection.score, against=against, opens=True)


def _bounce(
    about: Told,
    value: float,
    at: datetime,
    image_id: int,
    *,
    opens: bool,
    judge: int | None = None,
    weight: float = 1.0,
    score: int | None = None,
    against: float | None = None,
) -> Evidence:
    return Evidence(
        worker_id=about.worker_id,
        stage=about.stage,
        kind=Kind.BOUNCE,
        value=value,
        weight=weight,
        task_id=about.task_id,
        image_id=image_id,
        judge_id=judge,
        score=score,
        against=against,
        opens=opens,
        at=at,
    )


def versions(story: Story) -> dict[Stage, Version]:
    """The labels of each stage as a story leaves them."""
    found: dict[Stage, Version] = {}
    votes: list[Told] = []
    for place, each in enumerate(story):
        if each.sends_back or says_unusable(each.result):
            continue
        if each.stage is Stage.STYLES:
            votes = [vote for vote in votes if vote.round == each.round] + [each]
            author = each if len(votes) == 1 else None
            found[Stage.STYLES] = Version(_settled(votes), place, author)
        elif each.stage in LABELLING:
            found[each.stage] = Version(each.result, place, each)
        elif "styles" in each.result:
            found[Stage.STYLES] = Version(each.result, place, None)
    return found


def _settled(votes: Sequence[Told]) -> dict[str, Any]:
    if len(votes) == 1:
        return dict(votes[0].result)
    named = [list(vote.result["styles"]) for vote in votes]
    return settled_styles(named) if majority_style(named) is not None else dict(votes[-1].result)


def _changed(story: Story, place: int, final: Mapping[Stage, Version]) -> list[Version]:
    """The labels blamed by the rejection at `place` that were changed afterwards, as they stood then."""
    before = versions(story[:place])
    return [
        before[stage]
        for stage in LABELLING
        if stage in blamed_stages(story[place])
        and stage in before
        and stage in final
        and not same_labels(stage, before[stage].value, final[stage].value)
    ]


def _is_changed_review(story: Story, place: int) -> bool:
    """Whether the rejection at `place` blames a first review that was later given the other way."""
    if Stage.FIRST_REVIEW not in blamed_stages(story[place]) or _last_review(story, place) is None:
        return False
    return any(each.stage is Stage.FIRST_REVIEW and each.rejects for each in story[place + 1 :])


def _last_review(story: Story, place: int) -> Told | None:
    return next((each for each in reversed(story[:place]) if each.stage is Stage.FIRST_REVIEW), None)


def _accepting_score(story: Story) -> float:
    """What those who let the image through gave it; an admin gives no score, but lets it through."""
    return fmean([float(each.score) for each in _accepting(story)] or [4.0])


def _agree(one: Told, other: Told) -> bool:
    if one.passes and other.passes:
        return True
    return one.rejects and other.rejects and _target(one) is _target(other)


def _target(seat: Told) -> Stage:
    return target_of(Answer(seat.worker_id, seat.stage, seat.result))


def _blamed_by(verdict: Told) -> frozenset[Stage]:
    return blamed_stages(verdict) if verdict.rejects else frozenset()


def _counts(verdict: Told, stage: Stage) -> bool:
    """Whether a verdict's score counts at once for the labels of a stage."""
    if verdict.passes:
        return True
    # At 3 the style differs: the attributes were found good.
    return stage not in blamed_stages(verdict) and OF_SCORE[stage][verdict.score - 1] > 0.0


def _reviewed_at_once(verdict: Told, stage: Stage) -> bool:
    return stage in OF_SCORE and _counts(verdict, stage)


def _was_judged(story: Story, author: Told, place: int) -> bool:
    """Whether a verdict before `place` counted for this answer, so that the next opens nothing new."""
    for verdict in _verdicts_on(author, story[:place]):
        if author.stage in OF_SCORE and _counts(verdict, author.stage):
            return True
        # Its pre-check counts with the first review, unless that blames it.
        pre_checked = author.stage in (Stage.SEGMENTATION, Stage.ATTRIBUTES)
        if pre_checked and verdict.stage is Stage.FIRST_REVIEW and author.stage not in _blamed_by(verdict):
            return True
    return False


def _verdicts_on(author: Told, story: Story) -> Iterator[Told]:
    """The verdicts on an answer: those before the next answer to the same stage."""
    since = next(index for index, each in enumerate(story) if each.task_id == author.task_id)
    for each in story[since + 1 :]:
        if each.stage is author.stage:
            return
        if each.is_verdict:
            yield each


def _said(attributes: Any) -> dict[str, dict[str, Any]]:
    """What attributes say, region by region; what is null or empty says nothing."""
    return {
        region: {name: value for name, value in values.items() if value not in (None, [], "")}
        for region, values in attributes["regions"].items()
    }


def _same_regions(one: Any, other: Any) -> bool:
    first, second = one["regions"], other["regions"]
    if sorted(each["part"] for each in first) != sorted(each["part"] for each in second):
        return False
    left = [(each["part"], _shape(each)) for each in second]
    for each in first:
        shape = _shape(each)
        match = next(
            (pair for pair in left if pair[0] == each["part"] and _overlap(shape, pair[1]) >= SAME_REGION),
            None,
        )
        if match is None:
            return False
        left.remove(match)
    return True


def _shape(region: Any) -> MultiPolygon | Polygon:
    return MultiPolygon([Polygon(ring) for ring in region["rings"]]).buffer(0)


def _overlap(one: Any, other: Any) -> float:
    either = one.union(other).area
    return float(one.intersection(other).area / either) if either else 1.0
