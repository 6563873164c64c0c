"""What an admin's wish for gold comes to: the labels that are shown, and the answer that is right.

Both must hold together. Whoever sits there answers about what is shown, so the known answer is of it, too.
"""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from crowd.core.db import AnyRow
from crowd.core.errors import Unprocessable, field_error
from crowd.gold.spoil import spoil
from crowd.gold.stock import REVIEWS
from crowd.policy import Policy, Stage
from crowd.tasks.flow import LABELLING, ORDER, blame_targets
from crowd.tasks.labels import InvalidResult, region_parts
from crowd.tasks.rules import RULES, Case, says_unusable
from crowd.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Wish:
    """What an admin wants as gold: an accepted image at some stages.

    `labels` are shown in place of the image's own; `answer` is known in place of them; `fault` names a stage
    whose labels are made wrong for the reviewers to find.
    """

    image_id: int
    stages: Sequence[Stage]
    answer: Any = None
    labels: Mapping[Stage, Any] = field(default_factory=dict)
    fault: Stage | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What an image offers: its lock's row, its present labels, and the taxonomy they are of."""

    image: AnyRow
    labels: Mapping[Stage, Any]
    taxonomy: Taxonomy
    taxonomy_id: int
    policy: Policy

    def case(self, stage: Stage, labels: Mapping[Stage, Any]) -> Case:
        """The case in which an answer at a stage would be checked."""
        return Case(
            stage, None, self.image.width, self.image.height, self.taxonomy, self.policy, labels=labels
        )


def planted(
    ground: Ground, wish: Wish, stage: Stage, rng: random.Random
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The labels shown at a stage, by stage, and the known answer. Raises Unprocessable."""
    labels = _whole(ground, wish, stage)
    if wish.fault is None:
        return shown_at(stage, labels), _known(ground, wish, stage, labels, _wrong_in(ground, labels, stage))
    if stage not in REVIEWS:
        raise field_error("fault", f"a fault is for reviewers to find; {stage} is none")
    try:
        spoiled = spoil(labels, wish.fault, ground.taxonomy, rng)
    except ValueError as error:
        raise field_error("fault", str(error)) from None
    return shown_at(stage, spoiled), _known(ground, wish, stage, spoiled, wish.fault)


def settled(
    stage: Stage, labels: Mapping[Stage, Any], taxonomy: Taxonomy, bad_percent: float, rng: random.Random
) -> tuple[Mapping[Stage, Any], dict[str, Any]]:
    """What is shown at a stage of labels that are known to be right, and the known answer.

    To reviewers so many percent with a fault at styles or attributes, where one can be made: a pool of good
    work alone could not tell who looks from who passes everything.
    """
    if stage not in REVIEWS:
        return labels, labels[stage]
    if rng.random() * 100 < bad_percent:
        for fault in rng.sample((Stage.STYLES, Stage.ATTRIBUTES), 2):
            with suppress(ValueError):
                return spoil(labels, fault, taxonomy, rng), {"passes": False, "blame": fault}
    return labels, {"passes": True, "blame": None}


def shown_at(stage: Stage, labels: Mapping[Stage, Any]) -> dict[str, Any]:
    """What of the labels somebody at a stage is shown, by stage."""
    return {
        other.value: labels[other] for other in LABELLING if ORDER[other] < ORDER[stage] and other in labels
    }


def _whole(ground: Ground, wish: Wish, stage: Stage) -> dict[Stage, Any]:
    """The image's labels with those of the wish in place of its own."""
    labels = dict(ground.labels)
    # In the order of the stages: attributes are checked against the outlines shown.
    for other, value in sorted(wish.labels.items(), key=lambda item: ORDER[item[0]]):
        if other not in LABELLING or ORDER[other] >= ORDER[stage]:
            raise field_error(f"labels.{other}", f"{stage} shows no labels of {other}")
        if says_unusable(value):
            raise field_error(f"labels.{other}", "must be labels: an unusable image gets no further")
        labels[other] = _checked(ground, other, value, labels, f"labels.{other}")
    if ORDER[stage] > ORDER[Stage.ATTRIBUTES] and not _of_shown_regions(ground, labels):
        text = "must be given for the outlines shown: the image's own are of other regions"
        raise field_error("labels.attributes", text)
    return labels


def _of_shown_regions(ground: Ground, labels: Mapping[Stage, Any]) -> bool:
    """Whether the attributes among the labels are of the outlines among them."""
    own = ground.labels.get(Stage.ATTRIBUTES)
    if own is None or labels[Stage.ATTRIBUTES] is not own:
        return True
    regions = region_parts(ground.labels[Stage.SEGMENTATION])
    return region_parts(labels[Stage.SEGMENTATION]) == regions


def _wrong_in(ground: Ground, labels: Mapping[Stage, Any], stage: Stage) -> Stage | None:
    """The earliest stage at which what is shown differs from what is right."""
    for other in LABELLING:
        if ORDER[other] < ORDER[stage] and labels.get(other) != ground.labels.get(other):
            return other
    return None


def _known(
    ground: Ground, wish: Wish, stage: Stage, labels: Mapping[Stage, Any], fault: Stage | None
) -> dict[str, Any]:
    if stage not in REVIEWS:
        return _known_labels(ground, wish, stage, labels)
    if wish.answer is None:
        return {"passes": fault is None, "blame": fault}
    known = _known_verdict(wish.answer, stage)
    if fault is not None and known["passes"]:
        raise field_error("answer.passes", f"{fault} is made wrong here: passing it is not right")
    return known


def _known_labels(ground: Ground, wish: Wish, stage: Stage, labels: Mapping[Stage, Any]) -> dict[str, Any]:
    if wish.answer is not None:
        return _checked(ground, stage, wish.answer, labels, "answer")
    own: dict[str, Any] | None = ground.labels.get(stage)
    if not own:
        raise field_error("stages", f"the image has no labels of {stage}")
    if stage is Stage.ATTRIBUTES and not _of_shown_regions(ground, labels):
        raise field_error("answer", "must be given for the outlines shown: the image's own are of others")
    return own


def _known_verdict(answer: Any, stage: Stage) -> dict[str, Any]:
    """What is right of a review: `{"passes": true}`, or `{"passes": false, "blame": stage or null}`."""
    targets = blame_targets(stage)
    whole = isinstance(answer, dict) and set(answer) <= {"passes", "blame"}
    if not whole or not isinstance(answer.get("passes"), bool):
        raise field_error("answer", "a review's is {passes: true or false, blame: a stage or null}")
    blame = answer.get("blame")
    if blame is not None and (answer["passes"] or blame not in targets):
        raise field_error("answer.blame", f"must be null or, of bad work, one of {', '.join(targets)}")
    return {"passes": answer["passes"], "blame": blame}


def _checked(
    ground: Ground, stage: Stage, value: Any, labels: Mapping[Stage, Any], path: str
) -> dict[str, Any]:
    try:
        return RULES[stage].check(value, ground.case(stage, labels))
    except InvalidResult as invalid:
        errors = {".".join(filter(None, (path, place))): texts for place, texts in invalid.errors.items()}
        raise Unprocessable("invalid_answer", "The answer does not hold.", errors=errors) from None
