"""Which evidence can be appealed against, when an appeal holds, and what counts then. PURE."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from crowd.policy import Policy, Stage
from crowd.review.judgements import Story, Told, blamed_stages, likeness
from crowd.tasks.flow import Cause
from crowd.tiers.score import Evidence, Kind, Known

# What a verdict, or several people's votes, can have said against an answer. Gold is nobody's judgement; and
# what an appeal came to is not appealed against.
APPEALABLE = frozenset({Kind.BOUNCE, Kind.AGREEMENT})


@dataclass(frozen=True, slots=True)
class Ruling:
    """An appeal upheld: the evidence that counts no more, and what counts instead."""

    withdrawn: tuple[int, ...]
    instead: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """Who judged again and when; `verdict` is None where an admin decided, or styles were named."""

    judge_id: int
    verdict: Mapping[str, Any] | None
    at: datetime


def stands_against(row: Known) -> bool:
    """Whether a piece of evidence says that the answer was bad, and may be appealed against.

    A vote on hard styles counts for what it has in common with the settled ones: less than whole is a no.
    """
    if row.kind not in APPEALABLE or row.weight <= 0.0:
        return False
    return row.value < 1.0 if _is_of_vote(row) else row.value == 0.0


def is_vote(story: Story, place: int) -> bool:
    """Whether the answer at `place` is one of several experts' on the styles of its round."""
    return len(_votes_beside(story, place)) > 1


def place_voted(story: Story, place: int) -> int:
    """The place of the first of the votes beside the one at `place`: all of them saw what stood before it."""
    return _votes_beside(story, place)[0]


def place_judged(story: Story, place: int, judges: frozenset[int]) -> int:
    """Whose labels are looked at again: those before this place of the story.

    A reviewer's answer, or a send-back, was about what stood before it; labels are seen as whoever spoke
    against them saw them.
    """
    appellant = story[place]
    if appellant.is_verdict or appellant.sends_back:
        return place
    accusing = accusers(story, place, judges)
    return story.index(accusing[0]) if accusing else len(story)


def accusers(story: Story, place: int, judges: frozenset[int]) -> list[Told]:
    """The answers of `judges` that spoke against the one at `place`, oldest first."""
    appellant = story[place]
    found = []
    for each in story[place + 1 :]:
        if each.worker_id in judges and _accuses(each, appellant):
            found.append(each)
        is_newer = each.stage is appellant.stage and not each.sends_back
        if is_newer and not appellant.is_verdict and not appellant.sends_back:
            break
    return found


def is_upheld(appellant: Told, verdict: Mapping[str, Any]) -> bool:
    """Whether somebody uninvolved, who knew nothing of the dispute, finds as the appellant did."""
    second = _as_told(verdict, appellant)
    if appellant.sends_back:
        return second.rejects and bool(blamed_stages(appellant) & blamed_stages(second))
    if appellant.is_verdict:
        return second.passes == appellant.passes
    return second.passes or appellant.stage not in blamed_stages(second)


def is_vote_upheld(vote: Mapping[str, Any], settled: Sequence[str], named: Sequence[str]) -> bool:
    """Whether styles that somebody uninvolved has `named` speak for a vote against what was settled.

    The main style decides; where nobody doubts that, how much the two have in common with them.
    """
    given = vote["styles"]
    if given[0] != settled[0]:
        return bool(named[0] == given[0])
    return likeness(given, named) > likeness(settled, named)


def ruling(
    story: Story, place: int, standing: Sequence[Known], bench: Bench, image_id: int, policy: Policy
) -> Ruling:
    """What an appeal upheld changes.

    `standing`: the evidence about any answer of the story that counts now. What counted against the appellant
    counts for them, by as much; who spoke against them gets the mark, unless their no stands for something
    else, and loses what it had brought them.
    """
    appellant = story[place]
    against = [row for row in standing if row.task_id == appellant.task_id and stands_against(row)]
    own = _row(appellant, 1.0, sum(row.weight for row in against), against, standing, bench, image_id)
    withdrawn, instead = list(against), [own]
    judges = frozenset(row.judge_id for row in against if row.judge_id is not None)
    if is_vote(story, place):
        instead += _of_settler(story, place, judges, standing, bench, image_id)
        return Ruling(tuple(row.id for row in withdrawn), tuple(instead))
    for accuser in accusers(story, place, judges):
        if _stands_otherwise(accuser, appellant, standing):
            continue
        gains = [
            row
            for row in standing
            if row.task_id == accuser.task_id and row.kind is Kind.BOUNCE and row.value == 1.0
        ]
        weight = policy.quality.pre_check_weight if accuser.sends_back else 1.0
        withdrawn += gains
        instead.append(_row(accuser, 0.0, weight, gains, standing, bench, image_id))
    return Ruling(tuple(row.id for row in withdrawn), tuple(instead))


def _votes_beside(story: Story, place: int) -> list[int]:
    """The places of the votes on the styles in the round of the answer at `place`; none if it is no vote."""
    own = story[place]
    if own.stage is not Stage.STYLES or "styles" not in own.result:
        return []
    return [
        other
        for other, each in enumerate(story)
        if each.stage is Stage.STYLES and each.round == own.round and "styles" in each.result
    ]


def _is_of_vote(row: Known) -> bool:
    return row.stage is Stage.STYLES and row.kind is Kind.AGREEMENT


def _of_settler(
    story: Story,
    place: int,
    judges: frozenset[int],
    standing: Sequence[Known],
    bench: Bench,
    image_id: int,
) -> Iterator[Evidence]:
    """The mark of who settled the votes alone, once; of several people who did together nobody gets one."""
    for each in story[place + 1 :]:
        settles = each.cause is Cause.STYLES and each.round == story[place].round and each.worker_id in judges
        is_marked = any(
            row.task_id == each.task_id and row.kind is Kind.APPEAL and row.value == 0.0 for row in standing
        )
        if settles and not is_marked:
            yield _row(each, 0.0, 1.0, [], standing, bench, image_id)


def _accuses(other: Told, appellant: Told) -> bool:
    if appellant.is_verdict:
        return other.is_verdict and other.passes != appellant.passes
    if appellant.sends_back:
        return other.is_verdict and other.passes
    disputed = other.disputed is appellant.stage
    return other.rejects and (disputed or appellant.stage in blamed_stages(other))


def _stands_otherwise(accuser: Told, appellant: Told, standing: Sequence[Known]) -> bool:
    """Whether the same person's no counts against somebody else's answer to the image, too."""
    return any(
        stands_against(row)
        and not _is_of_vote(row)
        and row.judge_id == accuser.worker_id
        and row.task_id != appellant.task_id
        for row in standing
    )


def _row(
    about: Told,
    value: float,
    weight: float,
    replaced: Sequence[Known],
    standing: Sequence[Known],
    bench: Bench,
    image_id: int,
) -> Evidence:
    gone = {row.id for row in replaced}
    judged_besides = any(
        row.task_id == about.task_id and row.opens and row.id not in gone for row in standing
    )
    verdict = bench.verdict
    compares = about.is_verdict and verdict is not None
    return Evidence(
        worker_id=about.worker_id,
        stage=about.stage,
        kind=Kind.APPEAL,
        value=value,
        weight=weight,
        task_id=about.task_id,
        image_id=image_id,
        judge_id=bench.judge_id,
        score=about.score if compares else None,
        against=float(verdict["score"]) if compares and verdict is not None else None,
        opens=not judged_besides,
        at=bench.at,
    )


def _as_told(verdict: Mapping[str, Any], appellant: Told) -> Told:
    """The new verdict as if it stood in the story."""
    return replace(
        appellant, stage=Stage.ADJUDICATION, result=verdict, sends_back=False, cause=None, disputed=None
    )
