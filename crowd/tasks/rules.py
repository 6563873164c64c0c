"""How the answers of a stage are checked and judged. PURE.

The labelling stages' rules stand here; the review room brings its own and registers them,
since this room does not know what a verdict means.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crowd.policy import Policy, Stage
from crowd.tasks import labels, results
from crowd.tasks.flow import Cause, Outcome, send_back_targets
from crowd.tasks.votes import likeliest, majority
from crowd.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that counts, as the judging of a later one sees it."""

    worker_id: int
    stage: Stage
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """What an answer is judged against.

    `labels` are the image's present labels by stage; `peers` the answers that counted before
    it at the same stage in the same round, oldest first; `seats` the second reviews of the
    round (for an adjudication). `width` and `height` are the working image's, in pixels.
    `aims`: how often each voter about styles is right, by person; empty where nobody asked.
    """

    stage: Stage
    cause: Cause | None
    width: int
    height: int
    taxonomy: Taxonomy
    policy: Policy
    labels: Mapping[Stage, Any]
    peers: Sequence[Answer] = ()
    seats: Sequence[Answer] = ()
    aims: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer comes to.

    `label`: the stage's labels from now on (`label_stage` where it is not the answer's own),
    `settled`: they are several people's; `target`: the stage a rejection blames;
    `rejections`: the answers whose reasons travel with the bounce.
    """

    outcome: Outcome
    label: Any = None
    label_stage: Stage | None = None
    settled: bool = False
    target: Stage | None = None
    rejections: Sequence[Answer] = field(default=())


class Rules(Protocol):
    """The rules of one stage."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """The answer in its normal form. Raises labels.InvalidResult naming each field."""

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """What the checked answer comes to."""


class SegmentationRules:
    """Regions, or unusable."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """See Rules.check."""
        if says_unusable(result):
            return labels.check_unusable(results.load(results.UNUSABLE, result), case.taxonomy)
        return labels.check_segmentation(
            results.load(results.SEGMENTATION, result),
            case.taxonomy,
            case.width,
            case.height,
        )

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """See Rules.judge."""
        return _judge_labels(answer)


class AttributeRules:
    """Attributes of exactly the present regions, or unusable."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """See Rules.check."""
        if says_unusable(result):
            return labels.check_unusable(results.load(results.UNUSABLE, result), case.taxonomy)
        return labels.check_attributes(
            results.load(results.ATTRIBUTES, result),
            case.taxonomy,
            labels.region_parts(case.labels[Stage.SEGMENTATION]),
        )

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """See Rules.judge."""
        return _judge_labels(answer)


class StyleRules:
    """Styles, main style first; an unsure expert brings in further ones, one at a time."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """See Rules.check."""
        if says_unusable(result):
            return labels.check_unusable(results.load(results.UNUSABLE, result), case.taxonomy)
        return labels.check_styles(results.load(results.STYLES, result), case.taxonomy)

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """See Rules.judge: flow.md, "styles: labels with unsure"."""
        if says_unusable(answer.result):
            return Judgement(Outcome.UNUSABLE)
        votes = [list(peer.result["styles"]) for peer in (*case.peers, answer)]
        if len(votes) == 1:
            if answer.result["unsure"]:
                return Judgement(Outcome.UNSETTLED)
            return Judgement(Outcome.LABELLED, label=settled_styles(votes))
        sure = self._sure_of((*case.peers, answer), case)
        if sure is not None:
            return Judgement(Outcome.LABELLED, label=settled_styles(votes, sure), settled=True)
        if len(votes) >= case.policy.votes_needed and majority_style(votes) is not None:
            return Judgement(Outcome.LABELLED, label=settled_styles(votes), settled=True)
        if len(votes) >= case.policy.votes_most:
            return Judgement(Outcome.DIVIDED)
        return Judgement(Outcome.UNSETTLED)

    @staticmethod
    def _sure_of(answers: Sequence[Answer], case: Case) -> str | None:
        """The main style that is likely enough already, where policy has votes weighed."""
        enough = case.policy.experts.sure_percent
        if not enough or not case.aims:
            return None
        named = [answer.result["styles"][0] for answer in answers]
        aims = [case.aims[answer.worker_id] for answer in answers]
        style, chance = likeliest(named, aims, case.policy.experts.alike)
        return style if chance * 100 >= enough else None


def majority_style(votes: Sequence[Sequence[str]]) -> str | None:
    """The main style that more than half of the voters named first, or None."""
    return majority([vote[0] for vote in votes])


def settled_styles(votes: Sequence[Sequence[str]], main: str | None = None) -> dict[str, Any]:
    """The styles several people's votes add up to: the main one, then all that most of them named."""
    main = main or majority_style(votes) or votes[-1][0]
    named = Counter(style for vote in votes for style in vote)
    # The order of the votes breaks ties, so that the same votes always give the same list.
    order = list(dict.fromkeys(style for vote in votes for style in vote))
    others = [style for style in order if style != main and 2 * named[style] > len(votes)]
    others.sort(key=lambda style: -named[style])
    if len(votes) == 1:
        others = list(votes[0][1:])
    return {"styles": [main, *others], "unsure": False}


def reason_errors(reasons: Sequence[str], taxonomy: Taxonomy, *, needed: bool) -> dict[str, list[str]]:
    """What is wrong with a list of reason codes: errors by path, empty when all is well."""
    known = {reason.code for reason in taxonomy.reasons if not reason.retired}
    errors = {
        f"reasons.{place}": [f"{code!r} is not a reason code"]
        for place, code in enumerate(reasons)
        if code not in known
    }
    if needed and not reasons:
        errors["reasons"] = ["at least one reason is needed"]
    return errors


def check_send_back(sent: object, case: Case) -> dict[str, Any]:
    """A send-back in its normal form: `to`, `reasons`, `comment`. Raises labels.InvalidResult."""
    targets = send_back_targets(case.stage)
    if not targets:
        raise labels.InvalidResult({"to": [f"{case.stage} has no earlier stage to send back to"]})
    loaded = results.load(results.SEND_BACK, sent)
    target = loaded["to"] or targets[0]
    errors = reason_errors(loaded["reasons"], case.taxonomy, needed=True)
    if target not in targets:
        errors["to"] = [f"must be one of {', '.join(targets)}"]
    if errors:
        raise labels.InvalidResult(errors)
    return {**loaded, "to": str(target)}


def says_unusable(result: object) -> bool:
    """Whether the answer calls the image unusable instead of labelling it."""
    return isinstance(result, Mapping) and "unusable" in result


def _judge_labels(answer: Answer) -> Judgement:
    if says_unusable(answer.result):
        return Judgement(Outcome.UNUSABLE)
    return Judgement(Outcome.LABELLED, label=dict(answer.result))


RULES: dict[Stage, Rules] = {
    Stage.SEGMENTATION: SegmentationRules(),
    Stage.ATTRIBUTES: AttributeRules(),
    Stage.STYLES: StyleRules(),
}


def register(stage: Stage, rules: Rules) -> None:
    """An upper room brings the rules of its stage."""
    RULES[stage] = rules
