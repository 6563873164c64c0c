"""What verdicts come to. PURE.

Likert scale of the guideline (6.5.1.3): 1 image and label both wrong, 2 an item differs,
3 the style differs, 4 a slight difference, 5 match. 4 and 5 pass.
"""

from collections.abc import Mapping
from typing import Any

from crowd.policy import Stage
from crowd.tasks import results
from crowd.tasks.flow import Cause, Outcome, blame_targets
from crowd.tasks.labels import InvalidResult, check_styles
from crowd.tasks.rules import Answer, Case, Judgement, reason_errors
from crowd.taxonomy import Taxonomy

PASSING = 4

# Where a rejection without blame goes.
DEFAULT_TARGET: dict[Stage, Stage] = {
    Stage.FIRST_REVIEW: Stage.STYLES,
    Stage.SECOND_REVIEW: Stage.FIRST_REVIEW,
}


def passes(verdict: Mapping[str, Any]) -> bool:
    """Whether the verdict's score lets the image through."""
    return bool(verdict["score"] >= PASSING)


def target_of(answer: Answer) -> Stage:
    """The stage that a rejecting answer sends the image back to."""
    blamed = answer.result["blame"]
    return Stage(blamed) if blamed else DEFAULT_TARGET[answer.stage]


def check_verdict(result: Mapping[str, Any], stage: Stage, taxonomy: Taxonomy) -> dict[str, Any]:
    """A verdict in its normal form. Raises InvalidResult."""
    verdict = dict(result)
    errors = reason_errors(verdict["reasons"], taxonomy, needed=not passes(verdict))
    targets = blame_targets(stage)
    if verdict["blame"] is not None and passes(verdict):
        errors["blame"] = ["nobody is to blame with a score of 4 or 5"]
    elif verdict["blame"] is not None and verdict["blame"] not in targets:
        errors["blame"] = [f"must be null or one of {', '.join(targets)}"]
    if errors:
        raise InvalidResult(errors)
    return verdict


class FirstReviewRules:
    """One reviewer sorts out what is mislabelled (guideline 6.3)."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """See Rules.check."""
        return check_verdict(results.load(results.VERDICT, result), case.stage, case.taxonomy)

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """See Rules.judge."""
        if passes(answer.result):
            return Judgement(Outcome.PASSED)
        return Judgement(Outcome.REJECTED, target=target_of(answer), rejections=(answer,))


class SecondReviewRules:
    """Two inspectors, independently (guideline 6.5.2.3)."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """See Rules.check."""
        return check_verdict(results.load(results.VERDICT, result), case.stage, case.taxonomy)

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """See Rules.judge: the pair is judged once both seats are in."""
        if not case.peers:
            return Judgement(Outcome.WAITING)
        pair = (case.peers[-1], answer)
        passed = [passes(seat.result) for seat in pair]
        if all(passed):
            return Judgement(Outcome.PASSED)
        if any(passed) or target_of(pair[0]) is not target_of(pair[1]):
            return Judgement(Outcome.DIVIDED)
        return Judgement(Outcome.REJECTED, target=target_of(answer), rejections=pair)


class AdjudicationRules:
    """A third person settles what the others could not."""

    def check(self, result: object, case: Case) -> dict[str, Any]:
        """See Rules.check."""
        if case.cause is Cause.STYLES:
            return check_styles(results.load(results.STYLES, result), case.taxonomy)
        return check_verdict(results.load(results.VERDICT, result), case.stage, case.taxonomy)

    def judge(self, answer: Answer, case: Case) -> Judgement:
        """See Rules.judge."""
        if case.cause is Cause.STYLES:
            return Judgement(
                Outcome.LABELLED,
                label={"styles": list(answer.result["styles"]), "unsure": False},
                label_stage=Stage.STYLES,
                settled=True,
            )
        if passes(answer.result):
            return Judgement(Outcome.PASSED)
        rejecting = tuple(seat for seat in case.seats if not passes(seat.result))
        return Judgement(
            Outcome.REJECTED,
            target=_adjudicated_target(answer, rejecting),
            rejections=(*rejecting, answer),
        )


def _adjudicated_target(answer: Answer, rejecting: tuple[Answer, ...]) -> Stage | None:
    """The adjudicator's blame, else the rejecting seat's target; of two, the earlier stage.

    None for a loop without blame, which has no seats: its rejection holds the image.
    """
    if answer.result["blame"]:
        return Stage(answer.result["blame"])
    order = list(Stage)
    return min((target_of(seat) for seat in rejecting), key=order.index, default=None)
