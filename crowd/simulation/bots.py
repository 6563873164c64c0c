"""What a bot does with a task: a pure function of the task, the truth, its persona and its dice. PURE."""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crowd.policy import Stage
from crowd.simulation.crew import Persona
from crowd.simulation.faults import Fault, find_faults, match_regions
from crowd.simulation.influence import Effect, Influence, effect_of, influenced
from crowd.simulation.mistakes import spoil_attributes, spoil_segmentation, spoil_styles
from crowd.simulation.truth import Labels, Truth, seeded_attributes
from crowd.simulation.vocabulary import Vocabulary
from crowd.tasks.flow import LABELLING, Cause

# Whoever reworks or confirms earlier labels takes care.
CAREFUL = 0.98
RELEASE_SHARE = 0.01
SKIP_SHARE = 0.01
SLIGHT_DIFFERENCE_SHARE = 0.1
# The guideline's scale: 1 image and label wrong, 2 an item differs, 3 the style differs.
SCORES = {Stage.SEGMENTATION: 1, Stage.ATTRIBUTES: 2, Stage.STYLES: 3}
FALSE_ALARMS = (
    Fault(Stage.SEGMENTATION, "bad_outline"),
    Fault(Stage.ATTRIBUTES, "wrong_attribute"),
    Fault(Stage.STYLES, "wrong_style"),
)


@dataclass(frozen=True, slots=True)
class Submit:
    """An answer; `effect`: what the candidates that were shown did to it."""

    result: Labels
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class SendBack:
    """A pre-check's "no": to which stage, and why."""

    to: Stage
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class Release:
    """The task goes back unanswered; with `skip` it stays away from this bot for a while."""

    skip: bool


Action = Submit | SendBack | Release


def decide(
    task: Mapping[str, Any], truth: Truth, persona: Persona, vocabulary: Vocabulary, rng: random.Random
) -> Action:
    """What the bot does with a claimed task (the API's JSON)."""
    stage = Stage(task["stage"])
    if hands_back := _hands_back(stage, task, persona, rng):
        return hands_back
    if stage not in LABELLING:
        return Submit(_review(stage, task, truth, persona, vocabulary, rng))
    right = rng.random() < _accuracy(stage, task, persona)
    if truth.unusable and right:
        return Submit({"unusable": truth.unusable})
    noticed = [fault for fault in _earlier_faults(stage, task, truth) if rng.random() < persona.check]
    if noticed:
        to = noticed[0].stage
        return SendBack(to, _reasons(noticed, to, vocabulary))
    return Submit(_label(stage, task, truth, persona, vocabulary, rng, right))


def after_candidates(
    action: Action,
    task: Mapping[str, Any],
    influence: Influence,
    vocabulary: Vocabulary,
    rng: random.Random,
) -> Action:
    """The same action once the bot has looked at its task's candidates: only labels are moved by them."""
    stage, candidates = Stage(task["stage"]), task.get("candidates")
    if not isinstance(action, Submit) or candidates is None or "unusable" in action.result:
        return action
    multiple = {question.key for question in vocabulary.questions if question.multiple}
    answer = influenced(stage, action.result, candidates, influence, rng, multiple)
    return Submit(answer, effect_of(stage, action.result, answer, candidates, multiple))


def _hands_back(
    stage: Stage, task: Mapping[str, Any], persona: Persona, rng: random.Random
) -> Release | None:
    thrown = rng.random()
    if thrown < RELEASE_SHARE:
        return Release(skip=False)
    # Only fresh work is skipped: of rework and reviews the others may all be barred.
    fresh = stage is Stage.SEGMENTATION and task["round"] == 1 and not task["feedback"]
    if fresh and persona.may_skip and thrown < RELEASE_SHARE + SKIP_SHARE:
        return Release(skip=True)
    return None


def _accuracy(stage: Stage, task: Mapping[str, Any], persona: Persona) -> float:
    again = bool(task["feedback"]) or task["labels"].get(stage) is not None
    return CAREFUL if again else persona.accuracy[stage]


def _earlier_faults(stage: Stage, task: Mapping[str, Any], truth: Truth) -> list[Fault]:
    earlier = LABELLING[: LABELLING.index(stage)]
    return find_faults({name: task["labels"].get(name) for name in earlier}, truth)


def _label(
    stage: Stage,
    task: Mapping[str, Any],
    truth: Truth,
    persona: Persona,
    vocabulary: Vocabulary,
    rng: random.Random,
    right: bool,
) -> Labels:
    if stage is Stage.SEGMENTATION:
        size = task["image"]["width"], task["image"]["height"]
        if right:
            return truth.segmentation
        return spoil_segmentation(truth.segmentation, vocabulary, size, rng)
    if stage is Stage.ATTRIBUTES:
        regions = task["labels"][Stage.SEGMENTATION]["regions"]
        true = attributes_of(regions, truth, vocabulary, rng)
        parts = {region["id"]: region["part"] for region in regions}
        return true if right else spoil_attributes(true, parts, vocabulary, rng)
    styles = truth.styles if right else spoil_styles(truth.styles, vocabulary, rng)
    return {**styles, "unsure": rng.random() < persona.unsure}


def attributes_of(
    regions: list[dict[str, Any]], truth: Truth, vocabulary: Vocabulary, rng: random.Random
) -> Labels:
    """The true attributes of the regions as they are drawn; of one that shows no garment, some."""
    matches = match_regions(regions, truth.segmentation["regions"])
    answers = {}
    for region in regions:
        match = matches.get(region["id"])
        if match is None:
            answers[region["id"]] = seeded_attributes(rng, region["part"], vocabulary)
        else:
            true = truth.attributes["regions"][match.region["id"]]
            answers[region["id"]] = _sayable(true, region["part"], vocabulary)
    return {"regions": answers}


def _sayable(true: Labels, part: str, vocabulary: Vocabulary) -> Labels:
    """Those of the answers that a region of this part can have."""
    kept: Labels = {}
    for question in vocabulary.questions_for(part):
        value, values = true.get(question.key), question.values[part]
        if question.multiple:
            kept[question.key] = [word for word in value or [] if word in values]
        elif value in values:
            kept[question.key] = value
    return kept


def _review(
    stage: Stage,
    task: Mapping[str, Any],
    truth: Truth,
    persona: Persona,
    vocabulary: Vocabulary,
    rng: random.Random,
) -> Labels:
    if task.get("cause") == Cause.STYLES:
        right = rng.random() < persona.accuracy[Stage.ADJUDICATION]
        return copy.deepcopy(truth.styles) if right else spoil_styles(truth.styles, vocabulary, rng)
    faults = find_faults(_judged_labels(task), truth)
    if faults and rng.random() < persona.notice:
        return _rejection(faults, vocabulary)
    if not faults and rng.random() < persona.false_alarm:
        return _rejection([rng.choice(FALSE_ALARMS)], vocabulary)
    score = 4 if rng.random() < SLIGHT_DIFFERENCE_SHARE else 5
    return {"score": score, "blame": None, "reasons": [], "comment": ""}


def _judged_labels(task: Mapping[str, Any]) -> dict[str, Any]:
    """All labels; in a loop those up to the disputed stage, since what comes after is not done again yet."""
    last = Stage(task.get("disputed") or Stage.STYLES)
    stages = LABELLING[: LABELLING.index(last) + 1] if last in LABELLING else LABELLING
    return {str(stage): task["labels"].get(stage) for stage in stages}


def _rejection(faults: list[Fault], vocabulary: Vocabulary) -> Labels:
    blamed = faults[0].stage
    return {
        "score": SCORES[blamed],
        "blame": str(blamed),
        "reasons": _reasons(faults, blamed, vocabulary),
        "comment": "",
    }


def _reasons(faults: list[Fault], stage: Stage, vocabulary: Vocabulary) -> list[str]:
    codes = [vocabulary.reason(fault.reason, stage) for fault in faults if fault.stage is stage]
    return list(dict.fromkeys(codes))
